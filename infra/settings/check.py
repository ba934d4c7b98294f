"""Checks a stack's file before `pulumi stack init`: can this stack be brought up?

`pulumi stack init` writes to the stack's file and leaves an empty stack; neither should remain where the target is not
built yet. Other settings wait for `up`: it can read the encrypted ones, and `pulumi config set`, which corrects them,
needs the stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infra import files
from infra.errors import SettingsError
from infra.settings.loading import refuse_unsupported_target
from infra.settings.model import PROJECT

FILE_HINT = "correct the file, or delete it to begin with no settings"


def check(stack: str, folder: Path) -> None:
    """Raises SettingsError for a target that is not built yet and for a file that cannot be read."""
    refuse_unsupported_target(stack, _settings(stack, folder / f"Pulumi.{stack}.yaml").get("target"))


def _settings(stack: str, path: Path) -> dict[str, Any]:
    operation = f"read the settings of stack {stack}"
    try:
        content = yaml.safe_load(files.read_text(path, follow=True)) if path.exists() else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        # Where in the file, and not what stands there: it may be a secret.
        mark = getattr(error, "problem_mark", None)
        place = f"{path.name}:{mark.line + 1}:{mark.column + 1}" if mark else path.name
        cause = getattr(error, "strerror", None) or getattr(error, "problem", None) or "this is no YAML"
        raise SettingsError(operation, place, str(cause), FILE_HINT) from None
    config = (content or {}).get("config") or {} if isinstance(content or {}, Mapping) else None
    if not isinstance(config, Mapping):
        raise SettingsError(operation, path.name, "its `config` is no group of settings", FILE_HINT)
    prefix = f"{PROJECT}:"
    return {str(name).removeprefix(prefix): value for name, value in config.items() if str(name).startswith(prefix)}
