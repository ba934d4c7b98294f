"""The log of a container, and following it over restarts, replacements, long lines and silence."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from infra.errors import TargetError
from infra.operations import logs
from infra.targets import target
from infra.targets.docker.logs import ContainerLog
from infra.targets.processes.logs import FileLog
from infra.targets.target import Log
from tests.support import engine
from tests.support.placements import wait_until
from tests.unit.targets.docker.conftest import Stage

TALKS = "trap 'echo ended; exit' TERM; echo first; echo started; while :; do sleep 0.05; done"


@dataclass
class Talker:
    """A container that prints what a test wants."""

    api: Any
    name: str
    log: ContainerLog

    def make(self, script: str = TALKS) -> None:
        made = self.api.create_container(engine.any_image(), entrypoint=["sh"], command=["-c", script], name=self.name)
        self.api.start(made["Id"])

    def remove(self) -> None:
        self.api.remove_container(self.name, force=True, v=True)


@pytest.fixture
def talker() -> Iterator[Talker]:
    if missing := engine.absent([("redis", 7)]):
        pytest.skip(f"needs {missing}")
    name = f"circlepay-test-{secrets.token_hex(4)}"
    made = Talker(engine.client(), name, ContainerLog(engine.url(), name))
    made.make()
    wait_until(lambda: made.log.last_lines(1) == ["started"], seconds=20)
    try:
        yield made
    finally:
        engine.remove(f"container {name}")


@dataclass
class Following:
    """A log that is followed in the background. seen: its lines so far."""

    log: Log
    lines: int
    seen: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            for _, line in logs.follow({"one": self.log}, self.lines, stop=self.stop.is_set):
                self.seen.append(line)
        except TargetError as error:
            self.errors.append(error)

    def until(self, *lines: str) -> None:
        """Waits for exactly these lines."""
        wait_until(lambda: self.seen == [*lines], seconds=20)


@pytest.fixture
def follow(talker: Talker) -> Iterator[Callable[[int], Following]]:
    begun: list[tuple[Following, threading.Thread]] = []

    def begin(lines: int) -> Following:
        following = Following(talker.log, lines)
        thread = threading.Thread(target=following.run)
        thread.start()
        begun.append((following, thread))
        return following

    yield begin
    for following, thread in begun:
        following.stop.set()
        thread.join(10)
        assert not thread.is_alive()


def test_last_lines(talker: Talker) -> None:
    assert talker.log.last_lines(1) == ["started"]
    assert talker.log.last_lines(100) == ["first", "started"]
    assert talker.log.last_lines(0) == []
    assert talker.log.title() == f"container {talker.name}"


@pytest.mark.parametrize(
    "ask",
    [ContainerLog.title, lambda log: log.last_lines(1), lambda log: list(log.watch(1, lambda: True))],
    ids=["title", "last lines", "watch"],
)
def test_no_container_says_what_to_type(talker: Talker, ask: Callable[[ContainerLog], object]) -> None:
    talker.remove()
    with pytest.raises(TargetError, match=r"no container of this name\n.*make up"):
        ask(talker.log)


def test_no_engine_says_what_to_do() -> None:
    with pytest.raises(TargetError, match=r"no container engine\n.*start the engine"):
        ContainerLog("unix:///nonexistent.sock", "redis-circlepay").last_lines(1)


def test_following_goes_on_when_the_container_starts_again(talker: Talker, follow: Callable[[int], Following]) -> None:
    following = follow(1)
    following.until("started")
    talker.api.stop(talker.name)
    following.until("started", "ended")
    talker.api.start(talker.name)
    following.until("started", "ended", "first", "started")


def test_following_goes_on_in_the_next_container(talker: Talker, follow: Callable[[int], Following]) -> None:
    following = follow(1)
    following.until("started")
    talker.remove()
    talker.make("echo another; sleep 300")
    following.until("started", "another")


def test_following_from_now_on_shows_nothing_old(talker: Talker, follow: Callable[[int], Following]) -> None:
    following = follow(0)
    threading.Event().wait(0.5)  # long enough to have read what is old
    talker.api.stop(talker.name)
    following.until("ended")


def test_a_line_longer_than_the_engines_buffer_is_one_line(talker: Talker, follow: Callable[[int], Following]) -> None:
    following = follow(1)
    following.until("started")
    talker.remove()
    talker.make("printf 'x%.0s' $(seq 40000); echo; sleep 300")
    following.until("started", "x" * 40000)


def test_the_log_of_a_server_is_where_its_target_keeps_it(stage: Stage, tmp_path: Path) -> None:
    names = stage.location.names
    assert target.load("docker").log(stage.location) == ContainerLog(names["engine"], names["container"])
    elsewhere = replace(stage.location, target="processes", placeholders={"logs": str(tmp_path)})
    assert target.load(elsewhere.target).log(elsewhere) == FileLog(tmp_path)
