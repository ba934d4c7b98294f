"""The end of servers' logs, and what is added to them, wherever their target keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from infra.targets.target import Log

POLL_SECONDS = 0.2


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


def shown(logs: Mapping[str, Log], count: int, *, following: bool) -> Iterator[str]:
    """The last lines of each log, for people: with several, each below a heading, or behind a name while following."""
    several = len(logs) > 1
    if following:
        for name, line in follow(logs, count):
            yield f"{name:<8} | {line}" if several else line
        return
    titles = {name: log.title() for name, log in logs.items()}
    for name, log in logs.items():
        if several:
            yield f"==> {name}: {titles[name]} <=="
        yield from log.last_lines(count)
