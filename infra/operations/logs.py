"""The end of a server's log, and what is added to it: from files of a process, or from the engine of a container."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from infra.errors import TargetError
from infra.operations.container_logs import ContainerLog
from infra.operations.file_logs import FileLog
from infra.operations.stack import ServerView, up_hint

POLL_SECONDS = 0.2


class Log(Protocol):
    """Where one server's lines are."""

    def title(self) -> str:
        """Where they are read now, for people. Raises TargetError when there is no log."""

    def last_lines(self, count: int) -> list[str]:
        """At most `count` lines from the end, without line ends. Raises TargetError when it cannot be read."""

    def watch(self, lines: int, stop: Callable[[], bool]) -> Iterator[str | None]:
        """The last lines, then every new one, and None whenever there is nothing new; ends once stop() is true."""


def of(server: ServerView, stack: str) -> Log:
    """The log of a server. Raises TargetError for one that has none."""
    if server.container:
        return ContainerLog(server.engine, server.container)
    if server.log_path is None:
        raise TargetError("read log", server.name, "the stack says of no log", up_hint(stack))
    return FileLog(server.log_path)


def follow(
    logs: Mapping[str, Log], lines: int, *, stop: Callable[[], bool] = lambda: False
) -> Iterator[tuple[str, str]]:
    """Of each log the last lines, then every new one, also from the next file or container when the server changes it.

    Answers the log's name and a line, as they are seen, until stop() is true.
    """
    watched = {name: log.watch(lines, stop) for name, log in logs.items()}
    while watched:
        for name, found in list(watched.items()):
            for line in found:
                if line is None:
                    break
                yield name, line
            else:
                del watched[name]
        time.sleep(POLL_SECONDS)
