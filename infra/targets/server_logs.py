"""The end of a server's logs, for error messages: short, and without secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra import files
from infra.redaction import redact

LINES = 12
_BYTES = 16384


def last_lines(paths: Iterable[Path], secrets: Mapping[str, str]) -> str:
    """The last lines of the files, oldest file first, indented; secrets are masked."""
    text = "\n".join(filter(None, (_tail(path) for path in paths)))
    return end_of(text, secrets) or "    (it wrote nothing to its log)"


def end_of(text: str, secrets: Mapping[str, str]) -> str:
    """The last lines of a text, indented, secrets masked; empty when there are none."""
    lines = [line for line in redact(text, secrets.values()).splitlines() if line.strip()][-LINES:]
    return "\n".join(f"    {line}" for line in lines)


def _tail(path: Path) -> str:
    try:
        descriptor = files.open_regular(path)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _BYTES))
        return stream.read(_BYTES).decode(errors="replace").strip()
