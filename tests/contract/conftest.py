"""One live stack for each case of the matrix, brought up once and mended by every test that breaks it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.targets.clones import clone_id
from tests.images import references as test_images
from tests.support import engine
from tests.support.clones import PROJECT_ROOT, Clone, put_project
from tests.support.interrupts import heeded_by_children
from tests.support.live import LiveStack
from tests.support.quiet_ports import quiet_port
from tools.pulumi import docker_plugin
from tools.pulumi_settings import home

DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15/bin")
DEBIAN_REDIS = Path("/usr/bin")
Config = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One row of the matrix: what runs where.

    needs: programs without which the case is skipped. images: of PostgreSQL and Redis, where they run in containers.
    """

    name: str
    config: Config
    needs: tuple[Path, ...] = ()
    images: tuple[engine.Image, ...] = ()

    def absent(self) -> str:
        """What this machine lacks for the case; empty when nothing."""
        missing = [str(path) for path in self.needs if not path.exists()]
        if self.images:
            plugin = home(os.environ) / "plugins" / docker_plugin.FOLDER_NAME
            missing += [] if plugin.exists() else [f"Pulumi's Docker plugin in {plugin}"]
            missing += filter(None, [engine.absent(self.images)])
        return ", ".join(missing)

    def config_of(self, clone: Clone) -> Config:
        """The case's settings, with names on the engine that no other clone has."""
        if not self.images:
            return self.config
        postgres, redis = (test_images.reference(*image) for image in self.images)
        own = {"postgresImage": postgres, "redisImage": redis, "suffix": clone.suffix}
        return {**self.config, "circlepay:target": "docker", "circlepay:docker": own}


def _as_committed(stack: str) -> Config:
    """The settings of a stack whose file is committed."""
    config: Config = yaml.safe_load((PROJECT_ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return config


WHEELS = Case("processes-wheels", {})
DOCKER = Case("docker-17-7", {}, images=(("postgres", 17), ("redis", 7)))
CASES = (
    WHEELS,
    Case(
        "processes-debian",
        {
            "circlepay:processes": {"binaries": str(DEBIAN_POSTGRES), "redisBinaries": str(DEBIAN_REDIS)},
            "circlepay:postgres": {"localeProvider": "libc", "locale": "C.UTF-8"},
        },
        (DEBIAN_POSTGRES / "postgres", DEBIAN_REDIS / "redis-server"),
    ),
    DOCKER,
    Case("docker-15-8", _as_committed("dev"), images=(("postgres", 15), ("redis", 8))),
)
TARGETS = (WHEELS, DOCKER)
"""One case of each target, for tests that bring up stacks of their own."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only_on_docker: a promise about containers, which other cases do not run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what is about containers where there are none; nothing that could run is skipped by that."""
    items[:] = [item for item in items if not item.get_closest_marker("only_on_docker") or _is_on_docker(item)]


def _is_on_docker(item: pytest.Item) -> bool:
    parameters = getattr(item, "callspec", None)
    cases = [value for value in parameters.params.values() if isinstance(value, Case)] if parameters else []
    return all(case is DOCKER for case in cases)  # what happens to containers is the same for every version in them


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


@contextmanager
def standing(case: Case, workplace: Path, put_files: Callable[[Path], None] = put_project) -> Iterator[Clone]:
    """A clone for the case, not up yet, and ended afterwards; skips where something the case needs is absent."""
    if absent := case.absent():
        pytest.skip(f"{case.name} needs {absent}")
    clone = Clone.make(workplace, put_files=put_files)
    for name, value in case.config_of(clone).items():
        clone.config[name] = {**clone.config.get(name, {}), **value} if isinstance(value, dict) else value
    clone.configure()
    try:
        yield clone
    finally:
        try:
            clone.end()
        finally:
            left = left_behind(clone)
            for belonging in left if case.images else ():
                engine.remove(belonging)
        assert left == [], "the explicit delete of a stack left something"


def left_behind(clone: Clone) -> list[str]:
    """Everything of a clone that is still on the machine or the engine, its own folder aside."""
    own = clone_id(clone.root)
    if clone.config.get("circlepay:target") == "docker":
        return engine.belongings(own)
    folder = Path(clone.config["circlepay:processes"]["dataDirectory"]) / own
    return [str(path) for path in (folder, *folder.glob("**/*")) if path.exists()]


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def live(request: pytest.FixtureRequest, workplace: Path) -> Iterator[LiveStack]:
    """A stack that is up; each test leaves it as it was declared."""
    with standing(request.param, workplace) as clone:
        up_on_quiet_ports(clone)
        yield LiveStack(clone)


@pytest.fixture(params=TARGETS, ids=lambda case: case.name)
def clone(request: pytest.FixtureRequest, workplace: Path) -> Iterator[Clone]:
    """A clone of its own for one test, not up yet."""
    with standing(request.param, workplace) as made:
        yield made


def up_on_quiet_ports(clone: Clone) -> None:
    """Up where no other clone of this machine looks for a port while a test has the servers down.

    The ports are unset again: that they are kept all the same is among the promises.
    """
    declared = {server: dict(clone.config.get(f"circlepay:{server}", {})) for server in ("postgres", "redis")}
    clone.configure(**{server: {**own, "port": quiet_port()} for server, own in declared.items()})
    clone.up().expect()
    clone.configure(**declared)
    clone.up().expect()


@pytest.fixture
def clone_on_wheels(workplace: Path) -> Iterator[Clone]:
    """The same where it makes no difference on which target."""
    with standing(WHEELS, workplace) as made:
        yield made
