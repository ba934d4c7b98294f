"""The kinds of machines: every promise is tried on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.machines import containers
from tests.machines.memory import LISTENING
from tests.machines.stages import MemoryStage, ProcessStage, Stage
from tests.support import placements

LOCKED = ("memory", "processes")
"""Those that keep a second run away; the others are kept apart by Pulumi."""


def _made(kind: str, stack: ExitStack) -> Stage:
    if kind == "memory":
        made = MemoryStage()
        stack.callback(LISTENING.pop, made.made.location.port, None)
        return made
    if kind == "processes":
        return ProcessStage(stack.enter_context(placements.staged()))
    return stack.enter_context(containers.staged())


@pytest.fixture(params=[*LOCKED, "containers"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A place for one server on each machine."""
    with ExitStack() as stack:
        yield _made(request.param, stack)


@pytest.fixture(params=LOCKED)
def locked(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The same on each machine that has a lock."""
    with ExitStack() as stack:
        yield _made(request.param, stack)
