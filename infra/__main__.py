"""The Pulumi program: load the configuration, deploy, export."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pulumi

MESSAGE_WAS_SHOWN = 32
"""The language host's exit code for «the message was shown»: it then adds no message of its own about a crash."""

PROJECT_ROOT = Path(__file__).resolve().parent.parent
# `main: infra/` puts this folder itself on the path, where `cache` or `settings` would shadow other modules of that name.
sys.path[:] = [
    str(PROJECT_ROOT),
    *(entry for entry in sys.path if Path(entry or ".").resolve() != PROJECT_ROOT / "infra"),
]

# This program runs for half a second, mostly imports: it needs neither garbage collection nor pydantic plugins.
gc.disable()
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from infra.declarations.debug_messages import hide_values  # noqa: E402
from infra.deployment import deploy  # noqa: E402
from infra.errors import CirclePayError  # noqa: E402
from infra.settings.loading import load  # noqa: E402


def main() -> None:
    """One stack, from its settings to its outputs; a wrong setting ends the run before anything is touched."""
    hide_values()
    stack = pulumi.get_stack()
    try:
        outputs = deploy(stack, load(stack, pulumi.Config()), PROJECT_ROOT)
    except CirclePayError as error:
        pulumi.log.error(error.message)
        sys.exit(MESSAGE_WAS_SHOWN)
    for name, value in outputs.items():
        pulumi.export(name, value)


main()
