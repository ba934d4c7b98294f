"""The child process of the acceptance suite, started while servers start: half of its time is spent on imports."""

from __future__ import annotations

import subprocess
import threading

_guard = threading.Lock()
_children: list[subprocess.Popen[str]] = []


def prepare() -> None:
    """Starts the child unless one is already waiting. It ends by itself when this process ends."""
    from infra.verification.runner import prepare as start

    with _guard:
        if not _children:
            _children.append(start())


def take() -> subprocess.Popen[str] | None:
    """The waiting child, None when there is none or it has ended."""
    with _guard:
        child = _children.pop() if _children else None
    return child if child is not None and child.poll() is None else None
