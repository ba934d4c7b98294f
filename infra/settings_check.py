"""Checks before Pulumi is told to make a stack that it is one that can be brought up.

    python -m infra.settings_check STACK

`pulumi stack init` writes to the stack's file and leaves an empty stack; neither should remain where the target is not
built yet. Other settings wait for `up`: it can read the encrypted ones, and `pulumi config set`, which mends them, needs
the stack.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from infra.errors import SettingsError
from infra.settings import BUILT_TARGETS, Target, unsupported_target_message
from infra.settings_problems import PROJECT, Problem, problems_error

FILE_HINT = "correct the file, or delete it to begin with no settings"


def check(stack: str, folder: Path) -> None:
    """Raises SettingsError for a target that is not built yet and for a file that cannot be read."""
    raw = _settings(stack, folder / f"Pulumi.{stack}.yaml")
    target = raw.get("target")
    if isinstance(target, str) and target in set(Target) - BUILT_TARGETS:
        raise problems_error(stack, [Problem("target", unsupported_target_message(Target(target)))])


def _settings(stack: str, path: Path) -> dict[str, Any]:
    operation = f"read the settings of stack {stack}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
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


def main(stack: str) -> int:
    """Tell what is wrong, on standard error."""
    try:
        check(stack, Path.cwd())
    except SettingsError as error:
        click.echo(f"circlepay: {error.message}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
