"""One live stack for each case of the matrix, brought up once and mended by every test that breaks it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.clones import Clone
from tests.support.interrupts import heeded_by_children
from tests.support.live import LiveStack
from tests.support.quiet_ports import quiet_port

DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15/bin")
DEBIAN_REDIS = Path("/usr/bin")


@dataclass(frozen=True)
class Case:
    """One row of the matrix: what runs where. needs: programs without which the case is skipped."""

    name: str
    config: dict[str, Any]
    needs: tuple[Path, ...] = ()


CASES = (
    Case("processes-wheels", {}),
    Case(
        "processes-debian",
        {
            "circlepay:processes": {"binaries": str(DEBIAN_POSTGRES), "redisBinaries": str(DEBIAN_REDIS)},
            "circlepay:postgres": {"localeProvider": "libc", "locale": "C.UTF-8"},
        },
        (DEBIAN_POSTGRES / "postgres", DEBIAN_REDIS / "redis-server"),
    ),
)


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> Iterator[None]:
    """Without this, tests that run in the background wait 5 s in every run of Pulumi."""
    with heeded_by_children():
        yield


@pytest.fixture(scope="session")
def workplace() -> Iterator[Path]:
    """A folder that the servers' own user may enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="circlepay-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=os.geteuid() != 0)


def made(case: Case, workplace: Path) -> Clone:
    """A clone for the case, not up yet; skips where the case's programs are absent."""
    absent = [str(path) for path in case.needs if not path.exists()]
    if absent:
        pytest.skip(f"{case.name} needs {', '.join(absent)}")
    config = {name: dict(value) for name, value in case.config.items()}
    config.setdefault("circlepay:processes", {})["dataDirectory"] = str(workplace / "data")
    return Clone.make(workplace, config=config)


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def live(request: pytest.FixtureRequest, workplace: Path) -> Iterator[LiveStack]:
    """A stack that is up; each test leaves it as it was declared."""
    clone = made(request.param, workplace)
    try:
        _up_on_quiet_ports(clone)
        yield LiveStack(clone)
    finally:
        clone.end()


def _up_on_quiet_ports(clone: Clone) -> None:
    """Up where no other clone of this machine looks for a port while a test has the servers down.

    The ports are unset again: that they are kept all the same is among the promises.
    """
    declared = {server: dict(clone.config.get(f"circlepay:{server}", {})) for server in ("postgres", "redis")}
    clone.configure(**{server: {**own, "port": quiet_port()} for server, own in declared.items()})
    clone.up().expect()
    clone.configure(**declared)
    clone.up().expect()


@pytest.fixture
def clone(workplace: Path) -> Iterator[Clone]:
    """A clone of its own for one test, on the wheels, not up yet."""
    made_clone = made(CASES[0], workplace)
    try:
        yield made_clone
    finally:
        made_clone.end()
