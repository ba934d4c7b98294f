"""A server's log as its container's engine keeps it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.errors import CirclePayError, TargetError

if TYPE_CHECKING:
    from docker import APIClient

POLL_SECONDS = 0.2
"""Seconds between two looks for a container that is being replaced or started again."""
OPERATION = "read log"
REMOVED = (404, 409)
"""The engine's answers about a container that is gone, or about to go."""

Found = queue.SimpleQueue[str | CirclePayError]


@dataclass(frozen=True)
class ContainerLog:
    """engine: URL. container: name."""

    engine: str
    container: str

    def title(self) -> str:
        """The container. Raises TargetError when there is none."""
        from infra.targets.docker.engine import connected

        with connected(self.engine, OPERATION, self.container) as api:
            inspected_or_refused(api, self.container, OPERATION)
        return f"container {self.container}"

    def last_lines(self, count: int) -> list[str]:
        """At most `count` lines from the end, without line ends. Raises TargetError without a container or engine."""
        from infra.targets.docker.engine import connected

        with connected(self.engine, OPERATION, self.container) as api:
            inspected_or_refused(api, self.container, OPERATION)
            return bytes(api.logs(self.container, tail=count)).decode(errors="replace").splitlines()

    def watch(self, lines: int, stop: Callable[[], bool]) -> Iterator[str | None]:
        """The last lines, then every new one, and None whenever there is nothing new; ends once stop() is true.

        Goes on in the container's next run, and in the next container of that name. Raises TargetError when there is no
        container at first, and when the engine goes away.
        """
        found: Found = queue.SimpleQueue()
        reader = _Reader(self, lines, found)
        self.title()
        threading.Thread(target=reader.run, daemon=True).start()
        try:
            while not stop():
                yield from _arrived(found)
                yield None
            yield from _arrived(found)
        finally:
            reader.close()


def _arrived(found: Found) -> Iterator[str]:
    with suppress(queue.Empty):
        while True:
            item = found.get_nowait()
            if isinstance(item, CirclePayError):
                raise item
            yield item


@dataclass
class _Reader:
    """Reads in a thread of its own, since the engine answers only when there is a line. seen: the last line's moment."""

    log: ContainerLog
    lines: int
    found: Found
    stream: Any = None
    closed: bool = False
    identity: str = ""
    seen: str = ""
    line: list[bytes] = field(default_factory=list)

    def run(self) -> None:
        from infra.targets.docker.engine import connected

        try:
            with connected(self.log.engine, OPERATION, self.log.container) as api:
                self._begin(api)
                while not self.closed:
                    if self._is_worth_reading(api):
                        self._read(api)
                    time.sleep(POLL_SECONDS)
        except CirclePayError as error:
            if not self.closed:
                self.found.put(error)
        except (OSError, ValueError, AttributeError):
            if not self.closed:  # a stream that is closed while it is read fails in many ways
                raise

    def close(self) -> None:
        """Ends the thread."""
        self.closed = True
        if self.stream is not None:
            self.stream.close()

    def _begin(self, api: APIClient) -> None:
        """The last lines; the very last one's moment is wanted even where no line is."""
        self.identity = inspected_or_refused(api, self.log.container, OPERATION)["Id"]
        text = bytes(api.logs(self.identity, tail=max(self.lines, 1), timestamps=True)).decode(errors="replace")
        for stamped in text.splitlines():
            self.seen, _, line = stamped.partition(" ")
            if self.lines:
                self.found.put(line)

    def _is_worth_reading(self, api: APIClient) -> bool:
        """Whether there may be more: it runs, or it is another container than before."""
        from infra.targets.docker.ownership import inspected

        state = inspected(api, self.log.container)
        if state is None:
            return False
        is_other = state["Id"] != self.identity
        if is_other:
            self.identity, self.seen = state["Id"], ""
        return is_other or bool(state["State"]["Running"])

    def _read(self, api: APIClient) -> None:
        """Every line after the last one seen, until the container ends."""
        from docker.errors import APIError

        since = int(datetime.fromisoformat(self.seen).timestamp()) if self.seen else None
        try:
            self.stream = api.logs(self.identity, stream=True, follow=True, timestamps=True, since=since)
            for message in self.stream:
                self._take(message)
        except APIError as error:
            if error.status_code not in REMOVED:
                raise

    def _take(self, message: bytes) -> None:
        """One message of the engine: a line, or a piece of one that is longer than the engine's buffer."""
        moment, _, text = message.partition(b" ")
        if moment.decode() <= self.seen:
            return
        self.line.append(text)
        if text.endswith(b"\n"):
            self.seen = moment.decode()
            self.found.put(b"".join(self.line).decode(errors="replace").rstrip("\r\n"))
            self.line.clear()


def inspected_or_refused(api: APIClient, container: str, operation: str) -> dict[str, Any]:
    """What the engine says of a container. Raises TargetError when there is none of that name."""
    from infra.targets.docker.ownership import inspected

    found = inspected(api, container)
    if found is None:
        raise TargetError(
            operation, f"container {container}", "there is no container of this name", "`make up` creates it"
        )
    return found
