"""A server's log in files."""

from __future__ import annotations

import os
import stat
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from infra import files
from infra.errors import TargetError
from infra.targets.filesystem_errors import cause
from infra.targets.processes.system_user import Account

_WRITABLE = """
if [ -d "$1" ] || [ -p "$1" ]; then echo "it is not a file"
elif [ -e "$1" ]; then [ -w "$1" ] || echo "it may not write this file"
elif [ ! -d "$2" ]; then echo "there is no folder $2, or none that it may enter"
else [ -w "$2" ] && [ -x "$2" ] || echo "it may not make a file in $2"
fi
"""
"""Run by the servers' user: what it says of a log file ($1, its folder $2)."""


@dataclass(frozen=True)
class FileLog:
    """path: one file, or a folder of files of which the newest is written.

    owner: number of the user that a file belongs to; None: of the folder's, where `path` is one.
    """

    path: Path
    owner: int | None = None

    def title(self) -> str:
        """The file the server writes now. Raises TargetError without one."""
        return str(current_file(self.path))

    def last_lines(self, count: int) -> list[str]:
        """At most `count` lines from the end, without line ends. Raises TargetError when the file cannot be read."""
        with self._opened(current_file(self.path)) as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]

    def watch(self, lines: int, stop: Callable[[], bool]) -> Iterator[str | None]:
        """The last lines, then every new one, and None whenever there is nothing new; ends once stop() is true."""
        file = self._opened(current_file(self.path))
        try:
            yield from [line.rstrip("\n") for line in deque(file, maxlen=lines)]
            while not stop():
                yield from _whole_lines(file)
                newest = current_file(self.path)
                if _replaced(file, newest):
                    yield from _whole_lines(file)
                    file.close()
                    file = self._opened(newest)
                    continue
                yield None
            yield from _whole_lines(file)
        finally:
            file.close()

    def _opened(self, path: Path) -> TextIO:
        try:
            in_folder = self.path.lstat().st_uid if path != self.path else None
            owner = in_folder if self.owner is None else self.owner
            return os.fdopen(files.open_regular(path, owner=owner), encoding="utf-8", errors="replace")
        except OSError as error:
            raise _unreadable(path, error) from None


def current_file(log_path: Path) -> Path:
    """The file a server writes now: the path itself, or the folder's newest file. Raises TargetError without one."""
    try:
        newest = newest_log(log_path)
    except OSError as error:
        raise _unreadable(Path(str(error.filename or log_path)), error) from None
    if newest is None:
        raise TargetError(
            "read log", str(log_path), "there is no log here", "the server has not been started yet: `make up`"
        )
    return newest


def newest_log(log_path: Path) -> Path | None:
    """The path itself, or the newest log of a folder; None without one. Raises OSError.

    In a folder only ordinary files of its own user are logs: that user may put a link to somebody else's file there.
    """
    try:
        status = log_path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return log_path
    logs = {}
    for path in log_path.iterdir():
        with suppress(FileNotFoundError):
            found = path.lstat()
            if path.suffix in {"", ".log"} and stat.S_ISREG(found.st_mode) and found.st_uid == status.st_uid:
                logs[path] = found.st_mtime_ns
    return max(logs, key=lambda path: (logs[path], path.name), default=None)


def _whole_lines(file: TextIO) -> Iterator[str]:
    """Lines that are finished; one that is still being written waits for its end."""
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(start)
            return
        yield line.rstrip("\n")


def _replaced(file: TextIO, newest: Path) -> bool:
    try:
        now, opened = newest.lstat(), os.fstat(file.fileno())
    except FileNotFoundError:
        return False
    return (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino) or now.st_size < file.tell()


def _unreadable(path: Path, error: OSError) -> TargetError:
    return TargetError("read log", str(path), cause(error), "read it as the user who ran `make up`, or as root")


def refuse_unwritable(path: Path, server: str, user: Account) -> None:
    """Raises TargetError where the servers' user cannot write its own log: the server would end as soon as it starts."""
    is_other = user.uid != os.geteuid()
    done = subprocess.run(
        ["/bin/sh", "-c", _WRITABLE, "sh", str(path), str(path.parent)],
        user=user.uid if is_other else None,
        group=user.gid if is_other else None,
        extra_groups=() if is_other else None,
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    problem = done.stdout.strip()
    if problem:
        hint = (
            f"make it writable for that user, or set circlepay:{server}.logfile to another file; left out, the log is "
        )
        raise TargetError(
            f"start {server}", str(path), f"{problem} (user {user.name})", f"{hint}in the server's own folder"
        )
