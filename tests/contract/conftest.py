"""One live stack for each case of the matrix, brought up once and mended by every test that breaks it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from xdist.scheduler import LoadScopeScheduling

from infra.targets.clones import clone_id
from tests.images import references as test_images
from tests.support import engine
from tests.support.clones import PROJECT_ROOT, Clone, put_project
from tests.support.interrupts import heeded_by_children
from tests.support.live import SERVERS, LiveStack
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
LONG = ("test_killed_up", "test_upgrade", "test_secrets")
"""Modules whose stacks take longer than others, those of the cases aside, and are shared within the module."""


ALONE = "own-"
"""Begins the id of a stack that is brought up for a single test. Others are shared, so their tests run in one process."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only_on_docker: a promise about containers, which other cases do not run")
    config.addinivalue_line("markers", "once_per_target: a promise that no version of a server changes")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Each promise where it applies, and what takes long first."""
    own = {item for item in items if item.path.is_relative_to(Path(__file__).parent)}
    items[:] = [item for item in items if item not in own or _applies(item)]
    yield
    items.sort(key=lambda item: _turn(item) if item in own else 0)  # stable: of one stack they keep their order


def _applies(item: pytest.Item) -> bool:
    """Nothing that could fail on its own is left out by this."""
    # What happens to containers is the same for every version in them.
    allowed: tuple[Case, ...] = (DOCKER,) if item.get_closest_marker("only_on_docker") else CASES
    allowed = TARGETS if item.get_closest_marker("once_per_target") and allowed is CASES else allowed
    return all(case in allowed for case in _cases(item))


def _cases(item: pytest.Item) -> list[Case]:
    parameters = getattr(item, "callspec", None)
    return [value for value in parameters.params.values() if isinstance(value, Case)] if parameters else []


def _turn(item: pytest.Item) -> int:
    """What takes long begins first, so that no process goes on alone for long."""
    if "live" in getattr(item, "fixturenames", ()):
        return 0 if _cases(item)[0] in TARGETS else 1
    return 2 if item.path.stem in LONG else 3


class _Stacks(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out tests by the stack they share; pytest-xdist's own groups are lost with this version of pytest."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, parameters = nodeid.partition("[")
        module = module.partition("::")[0]
        case = next((case.name for case in CASES if case.name in parameters), "")
        if ALONE in parameters:
            return nodeid
        return case if case and Path(module).stem not in LONG else f"{module} {case}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """`--dist loadscope`: one scope for each stack."""
    return _Stacks(config, log) if config.getvalue("dist") == "loadscope" else None


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
    """A clone for the case, not up yet, and ended afterwards; skips where something the case needs is absent.

    Its ports are set, to some that no other clone of this machine tries while a test has the servers down.
    """
    if absent := case.absent():
        pytest.skip(f"{case.name} needs {absent}")
    clone = Clone.make(workplace, put_files=put_files)
    for name, value in case.config_of(clone).items():
        clone.config[name] = {**clone.config.get(name, {}), **value} if isinstance(value, dict) else value
    for server in SERVERS:
        clone.config[f"circlepay:{server}"] = {**clone.config.get(f"circlepay:{server}", {}), "port": quiet_port()}
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


@pytest.fixture(params=TARGETS, ids=lambda case: f"{ALONE}{case.name}")
def clone(request: pytest.FixtureRequest, workplace: Path) -> Iterator[Clone]:
    """A clone of its own for one test, not up yet."""
    with standing(request.param, workplace) as made:
        yield made


def unset_ports(clone: Clone) -> None:
    """No port is asked for any more: those there are must be kept, and a new stack's are chosen."""
    sections = {server: dict(clone.config[f"circlepay:{server}"]) for server in SERVERS}
    for section in sections.values():
        section.pop("port")
    clone.configure(**sections)


def up_on_quiet_ports(clone: Clone) -> None:
    """Up on ports that were asked for once: that they are kept all the same is among the promises."""
    clone.up().expect()
    unset_ports(clone)
    clone.up().expect()


@pytest.fixture
def clone_on_wheels(workplace: Path) -> Iterator[Clone]:
    """The same where it makes no difference on which target."""
    with standing(WHEELS, workplace) as made:
        yield made
