"""What only a target with containers can promise: what happens to them is mended, what is not ours is left alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.contract.conftest import left_behind
from tests.contract.containers import DECLARED, MEBIBYTE, changes_nothing, container, kept, limits_of
from tests.support import engine
from tests.support.clones import Clone
from tests.support.engine import ServerContainer, client
from tests.support.live import SERVERS, LiveStack
from tests.support.placements import wait_until

pytestmark = pytest.mark.only_on_docker
# What happens to containers -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mishap:
    """Something that happens to a server's container. mended: whether it is gone; False right after `make`."""

    name: str
    make: Callable[[ServerContainer], object]
    mended: Callable[[ServerContainer], bool]


def _runs(server: ServerContainer) -> bool:
    return server.status == "running"


def _networks(server: ServerContainer) -> list[str]:
    return list(server.facts["NetworkSettings"]["Networks"])


def _remove(server: ServerContainer) -> None:
    client().remove_container(server.name, force=True, v=True)


def _rename(server: ServerContainer) -> None:
    client().rename(server.name, f"{server.name}-by-hand")


def _disconnect(server: ServerContainer) -> None:
    client().disconnect_container_from_network(server.name, _networks(server)[0], force=True)


def _reservation(server: ServerContainer) -> str:
    return f"circlepay_port_{server.port}"


def _is_reserved(server: ServerContainer) -> bool:
    return bool(client().volumes(filters={"name": _reservation(server)})["Volumes"])


def _updated(**options: Any) -> Callable[[ServerContainer], None]:
    """`docker update`, with options that the SDK has no words for."""

    def make(server: ServerContainer) -> None:
        url = f"{client().base_url}/v{client().api_version}/containers/{server.name}/update"
        client().post(url, json=options).raise_for_status()

    return make


def _is_as_declared(server: ServerContainer) -> bool:
    return limits_of(server) == DECLARED[server.name.partition("-")[0]]


MISHAPS = (
    Mishap("removed", _remove, _runs),
    Mishap("stopped", lambda server: client().stop(server.name), _runs),
    Mishap("paused", lambda server: client().pause(server.name), _runs),
    Mishap("renamed", _rename, _runs),
    Mishap("port reservation pruned", lambda server: client().remove_volume(_reservation(server)), _is_reserved),
    Mishap("disconnected", _disconnect, lambda server: bool(_networks(server))),
    Mishap(
        "other limits and restart policy",
        _updated(Memory=900 * MEBIBYTE, MemorySwap=900 * MEBIBYTE, PidsLimit=77, RestartPolicy={"Name": "no"}),
        _is_as_declared,
    ),
    # Apart, because what it takes is another container, which would have the rest as declared.
    Mishap("other processors", _updated(NanoCpus=500_000_000), _is_as_declared),
)


@pytest.mark.parametrize("mishap", MISHAPS, ids=lambda mishap: mishap.name)
def test_what_happens_to_containers_is_mended_by_one_up(live: LiveStack, mishap: Mishap) -> None:
    servers = [container(live, name) for name in SERVERS]
    with kept(live):
        for server in servers:
            assert mishap.mended(server), "the stack was not as declared before the test"
            mishap.make(server)
            assert not mishap.mended(server), "it did not happen, so nothing could be mended"
        live.clone.up().expect()
        for server in servers:
            assert mishap.mended(server)
            assert _runs(server)
        changes_nothing(live.clone)


def test_a_server_that_crashes_comes_back_by_itself(live: LiveStack) -> None:
    """Killed from outside of the engine, as the kernel does it: the engine starts it again, and `up` finds nothing."""
    before = live.identities()
    for name in SERVERS:
        server = container(live, name)
        pid = server.process.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(partial(_is_back, server, pid), seconds=30)
    after = live.identities()
    assert not set(before.values()) & set(after.values())
    wait_until(lambda: live.verify().code == 0, seconds=60)
    changes_nothing(live.clone)


def _is_back(server: ServerContainer, pid: int) -> bool:
    state = server.facts["State"]
    return state["Status"] == "running" and state["Pid"] not in (0, pid)


def test_after_a_reload_a_crash_is_still_mended_by_the_engine(live: LiveStack) -> None:
    """The engine must not take a server for one that somebody stopped, only because it was told to read its files."""
    own = dict(live.clone.config.get("circlepay:postgres", {}))
    postgres = container(live, "postgres")
    try:
        live.clone.configure(postgres={**own, "logMinDurationStatement": 2500})
        live.clone.up().expect()
        pid = postgres.process.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _is_back(postgres, pid), seconds=30)
    finally:
        live.clone.configure(postgres=own)
        live.clone.up().expect()


def test_down_keeps_data_and_env_file_and_nothing_else(live: LiveStack) -> None:
    """Not even the files: they are made again, also where their volumes were removed by hand meanwhile."""
    suffix = live.clone.config["circlepay:docker"]["suffix"]
    with kept(live):
        env_text = live.env_path.read_text()
        live.clone.down().expect()
        ports = sorted(f"volume circlepay_port_{live.outputs[name]['port']}" for name in SERVERS)
        assert left_behind(live.clone) == [*ports, *(f"volume {name}_data{suffix}" for name in SERVERS)]
        assert live.env_path.read_text() == env_text
        live.clone.up().expect()
        assert live.env_path.read_text() == env_text


def test_a_volume_of_files_that_is_gone_is_filled_again(live: LiveStack) -> None:
    with kept(live):
        for name in SERVERS:
            server = container(live, name)
            volume = server.files_volume
            client().remove_container(server.name, force=True, v=True)
            client().remove_volume(volume)
        live.clone.up().expect()
        changes_nothing(live.clone)


# What is not ours, not there, or not free -----------------------------------------------------------------------------


@contextmanager
def volume(name: str) -> Iterator[None]:
    client().create_volume(name)
    try:
        yield
    finally:
        client().remove_volume(name)


@contextmanager
def network(name: str) -> Iterator[None]:
    client().create_network(name)
    try:
        yield
    finally:
        client().remove_network(name)


@pytest.mark.parametrize("kind", ["container", "volume", "network"])
def test_what_is_not_ours_is_refused_and_left_alone(clone: Clone, kind: str) -> None:
    suffix = clone.config["circlepay:docker"]["suffix"]
    names = {"container": f"redis-circlepay{suffix}", "volume": f"redis_data{suffix}", "network": f"circlepay{suffix}"}
    with somebodys(kind, names[kind]):
        before = described(kind, names[kind])
        run = clone.up()
        assert run.code != 0
        assert f"{kind} {names[kind]}" in run.output
        assert "another owner" in run.output
        assert "circlepay:docker.suffix" in run.output
        assert described(kind, names[kind]) == before
    clone.up().expect()


def somebodys(kind: str, name: str) -> AbstractContextManager[object]:
    """A thing without our label."""
    if kind == "container":
        return engine.container_of(engine.any_image(), name=name)
    return network(name) if kind == "network" else volume(name)


def described(kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = getattr(client(), f"inspect_{kind}")(name)
    return found


def test_a_container_of_somebody_else_that_comes_later_is_refused_too(clone: Clone) -> None:
    """By the time a container is made anew its name may be taken."""
    clone.up().expect()
    server = container(LiveStack(clone), "redis")
    client().remove_container(server.name, force=True, v=True)
    with engine.container_of(engine.any_image(), name=server.name) as somebodys:
        run = clone.up()
        assert run.code != 0
        assert f"container {server.name}" in run.output
        assert server.id == somebodys
    clone.up().expect()


def test_an_image_that_is_not_there_is_said_so(clone: Clone) -> None:
    own = dict(clone.config["circlepay:docker"])
    clone.configure(docker={**own, "redisImage": "circlepay-test/absent:1", "pullPolicy": "never"})
    run = clone.up()
    assert run.code != 0
    assert "circlepay-test/absent:1" in run.output
    assert "pullPolicy" in run.output
    assert "docker pull" in run.output
    assert "Traceback" not in run.output
    assert ServerContainer(f"redis-circlepay{own['suffix']}", 0, "").status == ""


def test_an_engine_that_is_not_there_is_said_so(clone: Clone) -> None:
    own = dict(clone.config["circlepay:docker"])
    try:
        clone.configure(docker={**own, "host": "unix:///nonexistent/docker.sock"})
        run = clone.up()
    finally:
        clone.configure(docker=own)
    assert run.code != 0
    assert "there is no container engine" in run.output
    assert "circlepay:docker.host" in run.output
    assert "Traceback" not in run.output
