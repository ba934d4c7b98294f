"""Secrets that only their owner can supply, read from the owner's file: only its path passes through Pulumi.

The file is dotenv with CIRCLE_SANDBOX_API_KEY and CIRCLE_ENTITY_SECRET; other lines are ignored. It is never changed and
never deleted: losing an entity secret loses funds.
"""

from __future__ import annotations

import os
import re
import stat
from io import StringIO
from pathlib import Path

from infra import files
from infra.credentials.strength import EXAMPLE_VALUES, weakness
from infra.errors import SettingsError
from infra.redaction import remember

SUPPLIED_KEYS = ("CIRCLE_SANDBOX_API_KEY", "CIRCLE_ENTITY_SECRET")
SETTING = "circlepay:application.suppliedSecretsFile"
MAXIMUM_SIZE = 64 * 1024
"""Bytes; a file of two secrets is far smaller, but a wrong path may point to any file."""


def inspect(path: Path) -> None:
    """Checks that the file exists and no other user may read it, without reading it. Raises SettingsError naming the file."""
    try:
        status = path.stat()
    except OSError as error:
        raise _error(path, error.strerror or str(error), f"create the file, or correct {SETTING}") from error
    _check_readers(path, status)


def read_supplied(path: Path, *, production: bool = False) -> dict[str, str]:
    """Both values by key, empty where the file lacks one.

    Raises SettingsError naming file and key, never a value, when the file cannot be read, other users may read it, a
    value has the wrong format or is an example; in production also when one is missing or weak.
    """
    values = _parse(path, _content(path))
    supplied = {key: values.get(key) or "" for key in SUPPLIED_KEYS}
    for value in supplied.values():
        remember(value)
    for key, value in supplied.items():
        if why := problem(key, value, production=production):
            raise _error(path, f"{key} {why}", "correct it in the file")
    return supplied


def problem(key: str, value: str, *, production: bool) -> str:
    """What is wrong with a supplied value, as the end of a sentence that starts with its key; empty when nothing is."""
    if not value:
        return "is missing, which production refuses" if production else ""
    if value.casefold() in EXAMPLE_VALUES:
        return "is the document's example value"
    if key == "CIRCLE_ENTITY_SECRET" and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        return "must be 32 bytes written as 64 hexadecimal digits"
    if not (value.isascii() and value.isprintable()) or " " in value:
        return "must be printable ASCII characters without spaces"
    why = weakness(value) if production else ""
    return f"is too weak for production: it {why}" if why else ""


def _content(path: Path) -> str:
    try:
        with os.fdopen(files.open_regular(path, follow=True), "rb") as file:
            _check_readers(path, os.fstat(file.fileno()))
            content = file.read(MAXIMUM_SIZE + 1)
    except (IsADirectoryError, files.IrregularFileError) as error:
        raise _error(path, "is not a file", f"correct {SETTING}") from error
    except OSError as error:
        raise _error(path, error.strerror or str(error), f"create the file, or correct {SETTING}") from error
    if len(content) > MAXIMUM_SIZE:
        raise _error(path, f"is larger than {MAXIMUM_SIZE} bytes", f"correct {SETTING}")
    return content.decode("utf-8", errors="replace")


def _check_readers(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _error(path, "is not a file", f"correct {SETTING}")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise _error(path, f"has mode {mode:04o}, so others may read it", f"chmod 600 {path}")
    if status.st_uid not in (0, os.geteuid()):
        raise _error(path, f"belongs to user {status.st_uid}", "make it your own: chown")


def _parse(path: Path, text: str) -> dict[str, str | None]:
    """Without interpolation: a secret may contain `$`."""
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    for binding in parse_stream(StringIO(text)):
        if binding.error:
            raise _error(path, f"line {binding.original.line} is not KEY=value", "correct it in the file")
    return dotenv_values(stream=StringIO(text), interpolate=False)


def _error(path: Path, cause: str, hint: str) -> SettingsError:
    return SettingsError("read the supplied secrets", str(path), cause, hint)
