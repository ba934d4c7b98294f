"""One run at a time: an advisory lock on a file, released by the kernel when its holder ends."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra import files
from infra.errors import TargetError

POLL = 0.02
"""Seconds between two tries."""


@contextmanager
def exclusive(path: Path, operation: str, *, timeout: float, cancelled: threading.Event | None = None) -> Iterator[int]:
    """Holds the lock at `path` and yields its descriptor, which a child may inherit to hold it on.

    Raises TargetError when another process holds it for longer than `timeout` seconds, or when cancelled.
    """
    deadline = time.monotonic() + timeout
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if _acquired(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
                yield descriptor
                return
        finally:
            os.close(descriptor)
        if cancelled is not None and cancelled.is_set():
            raise TargetError(operation, str(path), "cancelled while waiting for another run")
        if time.monotonic() > deadline:
            raise TargetError(
                operation,
                str(path),
                f"another run{_holder(path)} has held this lock for more than {timeout:.0f} s",
                "wait until that run has ended, or stop it, then run `up` again",
            )
        time.sleep(POLL)


def _acquired(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours, on the file that is at `path` now and not on one deleted meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _holder(path: Path) -> str:
    try:
        return f" (pid {int(files.read(path, largest=20))})"
    except (OSError, ValueError):
        return ""
