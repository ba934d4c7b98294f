"""Clears the lock of a Pulumi run that was killed on this machine; reports who holds any other.

Pulumi's file backend locks a stack with a JSON file {pid, username, hostname, timestamp}, which only the run itself
removes. `pulumi cancel` removes any lock; this removes only one whose run has provably ended.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from infra import files
from tools.paths import ROOT
from tools.running import say

LANGUAGE_HOST = "pulumi-language-python"
CLOCK_SLACK_SECONDS = 2.0
"""A process's start time is counted in kernel ticks since boot, and the wall clock may have been set meanwhile."""


class Lock(NamedTuple):
    """One lock file, and the holder it names."""

    path: Path
    pid: int
    username: str
    hostname: str
    timestamp: datetime


def locks(state: Path, stack: str) -> Iterator[Lock]:
    """The locks of a stack under a file backend's folder; a file that is gone or half-written is none."""
    for path in sorted((state / ".pulumi" / "locks").glob(f"**/{stack}/*.json")):
        try:
            content = json.loads(files.read(path))
            yield Lock(path, int(content["pid"]), content["username"], content["hostname"], _when(content["timestamp"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _when(text: str) -> datetime:
    # Go writes nanoseconds; Python reads microseconds.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def is_dead(lock: Lock) -> bool:
    """Whether its run was on this host and has ended: no process has its pid, or one that started later has it."""
    if lock.hostname != socket.gethostname():
        return False
    import psutil  # late: hardly any run finds a lock

    try:
        process = psutil.Process(lock.pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return True  # it ended, and its parent has not asked for its exit code yet
        started = process.create_time()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return started > lock.timestamp.timestamp() + CLOCK_SLACK_SECONDS


def _remedy(lock: Lock, stack: str) -> str:
    # A lock that is removed while its run goes on lets two runs write the same state.
    if lock.hostname == socket.gethostname():
        return "that run is active: wait until it has ended, then run the same command again"
    return f"wait until that run has ended; only if it was killed there: pulumi cancel {stack} --yes"


def file_backend(url: str) -> Path | None:
    """The folder of a `file://` backend, None for any other kind."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    return (
        Path(unquote(parts.path)).expanduser() if parts.netloc == "" else Path.home() / unquote(parts.path).lstrip("/")
    )


def end_orphans() -> list[int]:
    """End language hosts of this clone whose Pulumi is gone: nothing else does, and each holds 20 MB. Returns their pids."""
    import psutil

    ended = []
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and _is_orphan(process.cmdline(), process.cwd()):
                process.terminate()
                ended.append(process.pid)
        except psutil.Error:
            continue  # ended by now, or of another user
    return ended


def _is_orphan(argv: list[str], folder: str) -> bool:
    """A language host of this clone that can no longer reach its engine, whose address is its last argument."""
    if not any(argument.endswith("/" + LANGUAGE_HOST) for argument in argv) or not Path(folder).is_relative_to(ROOT):
        return False
    address = re.fullmatch(r"(127\.0\.0\.1):(\d+)", argv[-1])
    if address is None:
        return False
    with socket.socket() as attempt:
        return attempt.connect_ex((address[1], int(address[2]))) == errno.ECONNREFUSED


def clear(stack: str) -> list[str]:
    """Clear locks of ended runs; returns a text for each other lock: who holds it and what to do."""
    state = file_backend(os.environ.get("PULUMI_BACKEND_URL", ""))
    held = []
    for lock in locks(state, stack) if state else ():
        since = lock.timestamp.isoformat(sep=" ", timespec="seconds")
        who = f"{lock.username} on {lock.hostname} (pid {lock.pid}) since {since}"
        if is_dead(lock):
            lock.path.unlink(missing_ok=True)
            lock.path.with_name(f"{lock.path.name}.attrs").unlink(
                missing_ok=True
            )  # the file store's attributes of the file
            say(f"cleared the lock of a run that has ended: {who}")
            end_orphans()
        else:
            held.append(f"stack {stack} is locked by {who}\n  -> {_remedy(lock, stack)}")
    return held


def main(stack: str) -> int:
    """Exit code 1 when another run holds the stack, and says which."""
    held = clear(stack)
    for text in held:
        say(text)
    return 1 if held else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
