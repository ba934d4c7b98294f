"""The end of a server's logs, for error messages: short, and without secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra import files
from infra.redaction import redact

LINES = 12
_BYTES = 16384


def last_lines(paths: Iterable[Path], secrets: Mapping[str, str], *, before: Mapping[Path, int] | None = None) -> str:
    """The last lines of the files, oldest file first, indented; secrets are masked.

    before: bytes of a file that were there before, and are left out where it has more than those.
    """
    text = "\n".join(filter(None, (_tail(path, (before or {}).get(path, 0)) for path in paths)))
    return end_of(text, secrets) or "    (it wrote nothing to its log)"


def end_of(text: str, secrets: Mapping[str, str]) -> str:
    """The last lines of a text, indented, secrets masked; empty when there are none."""
    lines = [line for line in redact(text, secrets.values()).splitlines() if line.strip()][-LINES:]
    return "\n".join(f"    {line}" for line in lines)


def size(path: Path) -> int:
    """Bytes of a log, 0 where there is none."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _tail(path: Path, before: int) -> str:
    try:
        descriptor = files.open_regular(path)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, found - _BYTES, before if before <= found else 0))  # one that is shorter was begun anew
        return stream.read(_BYTES).decode(errors="replace").strip()
