"""Running other programs: messages, one kind of error, progress for what takes long."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

PROGRESS_SECONDS = 15.0
TAIL_LINES = 25


class ToolError(Exception):
    """Something is missing or failed; the text says what, and what to do about it."""


def say(message: str) -> None:
    """One line for the user, on standard error: standard output belongs to the command."""
    print(f"circlepay: {message}", file=sys.stderr, flush=True)


def run_with_progress(
    argv: Sequence[str], *, what: str, log: Path, cwd: Path, environment: Mapping[str, str], counted: str = ""
) -> None:
    """Run a command that takes its time: output to `log`, a line every 15 s.

    counted: what one line of the command's output stands for ("packages compiled"), for the progress line.

    Raises ToolError with the end of the log when the command fails.
    """
    started = time.monotonic()
    with log.open("wb") as output, _child(argv, cwd, environment, output) as child:
        while True:
            try:
                code = child.wait(timeout=PROGRESS_SECONDS)
                break
            except subprocess.TimeoutExpired:
                count = f", {_lines(log)} {counted}" if counted else ""
                say(f"  {what}: {time.monotonic() - started:.0f} s{count}")
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise ToolError(f"{what} failed (exit code {code}): {' '.join(argv[:3])} ...\n{tail}")


@contextlib.contextmanager
def _child(
    argv: Sequence[str], cwd: Path, environment: Mapping[str, str], output: BinaryIO
) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        argv, cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n")


@contextlib.contextmanager
def alone(lock: Path, *, waiting_for: str) -> Iterator[None]:
    """Hold an exclusive lock; the kernel releases it however this process ends."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run to finish {waiting_for}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
