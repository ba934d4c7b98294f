"""The end of a server's log, and what is added to it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from infra.errors import TargetError

POLL_SECONDS = 0.2


def current_file(log_path: Path) -> Path:
    """The file a server writes now: the path itself, or the folder's newest file. Raises TargetError without one."""
    try:
        if log_path.is_dir():
            files = [path for path in log_path.iterdir() if path.is_file() and path.suffix in {"", ".log"}]
            if files:
                return max(files, key=lambda path: (path.stat().st_mtime_ns, path.name))
        elif log_path.exists():
            return log_path
    except PermissionError as error:
        raise _unreadable(Path(str(error.filename or log_path)), error) from None
    raise TargetError(
        "read log", str(log_path), "there is no log here", "the server has not been started yet: `make up`"
    )


def last_lines(path: Path, count: int) -> list[str]:
    """At most `count` lines from the end, without line ends. Raises TargetError when the file cannot be read."""
    with _opened(path) as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=count)]


def follow(
    log_paths: Mapping[str, Path], lines: int, *, stop: Callable[[], bool] = lambda: False
) -> Iterator[tuple[str, str]]:
    """Of each log the last lines, then every new one, also from the next file when the server changes it.

    Answers the log's name and a line, as they are seen, until stop() is true.
    """
    watched = {name: _watch(path, lines, stop) for name, path in log_paths.items()}
    while watched:
        for name, found in list(watched.items()):
            for line in found:
                if line is None:
                    break
                yield name, line
            else:
                del watched[name]
        time.sleep(POLL_SECONDS)


def _watch(log_path: Path, lines: int, stop: Callable[[], bool]) -> Iterator[str | None]:
    """The lines of one log, and None whenever there is nothing new."""
    file = _opened(current_file(log_path))
    try:
        yield from [line.rstrip("\n") for line in deque(file, maxlen=lines)]
        while not stop():
            yield from _whole_lines(file)
            newest = current_file(log_path)
            if _replaced(file, newest):
                yield from _whole_lines(file)
                file.close()
                file = _opened(newest)
                continue
            yield None
        yield from _whole_lines(file)
    finally:
        file.close()


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
    import os

    try:
        now, opened = newest.stat(), os.fstat(file.fileno())
    except FileNotFoundError:
        return False
    return (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino) or now.st_size < file.tell()


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> TargetError:
    cause = (error.strerror or type(error).__name__).lower()
    return TargetError("read log", str(path), cause, "read it as the user who ran `make up`, or as root")
