"""Removing everything this package put on the machine, by the tool that can also remove the package's environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from infra.errors import CirclePayError

_ROOT = Path(__file__).resolve().parents[2]


def run(confirm: str = "") -> int:
    """Purge this clone; the exit code is 0 when everything is gone.

    confirm: "purge" answers the question beforehand; anything else has it asked.

    Raises CirclePayError where the package is installed without its checkout.
    """
    tool = _ROOT / "tools" / "environment.sh"
    if not tool.exists():
        raise CirclePayError("purge", str(_ROOT), "this is no checkout of the project", "run it in the clone to purge")
    environment = dict(os.environ) | {"CONFIRM": confirm}
    return subprocess.run([str(tool), "--bare", "tools.purge"], cwd=_ROOT, env=environment, check=False).returncode
