"""A restart keeps folder, port, password and data, and ends in a server that answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from infra.cache import parameters as cache_parameters
from infra.cache import server as cache_server
from infra.errors import TargetError
from infra.operations import restart, status
from infra.operations import stack as stacks
from infra.operations.stack import StackError, StackView
from infra.postgres import parameters as postgres_parameters
from infra.postgres import server as postgres_server
from infra.settings.model import PostgresSettings, RedisSettings
from infra.targets.processes.placement import Placement
from infra.targets.processes.system_user import account
from infra.targets.spec import ServerSpec
from tests.support import placements
from tests.unit.operations.conftest import server_outputs, server_resource

PASSWORD = "a-password-for-tests-0123456789"


def _specification(name: str) -> tuple[ServerSpec, dict[str, str]]:
    """The documented server of this name, and its secret."""
    if name == "redis":
        return cache_server.spec(parameters=cache_parameters.declared(RedisSettings())), {"password": PASSWORD}
    declared = postgres_parameters.declared(PostgresSettings())
    return postgres_server.spec(parameters=declared, superuser="postgres"), {"superuser_password": PASSWORD}


@dataclass(frozen=True)
class Placed:
    """A server that the target runs, and the stack that describes it. resources: those of its state."""

    placement: Placement
    view: StackView
    resources: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """`postgres` or `redis`."""
        return self.placement.folder.name

    def status(self) -> status.ServerStatus:
        """How it is doing."""
        return status.server_status(self.view, self.name)

    def restart(self) -> str:
        """What is tested."""
        return restart.run(self.view, self.name, progress=lambda text: None)

    @contextmanager
    def superuser(self) -> Iterator[psycopg.Connection]:
        """A connection to PostgreSQL."""
        place = {"host": "127.0.0.1", "port": self.placement.port, "user": "postgres", "dbname": "postgres"}
        with psycopg.connect(**place, password=PASSWORD, autocommit=True) as connection:  # type: ignore[arg-type]
            yield connection

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A connection to Redis."""
        with redis.Redis(port=self.placement.port, password=PASSWORD) as client:
            yield client


@contextmanager
def _placed(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Placed]:
    spec, secrets = _specification(name)
    with placements.staged() as stage:
        placement = stage.place(spec)
        location = stage.server(placement, spec, secrets).machine.location
        stage.apply(placement, spec, secrets)
        place = f"127.0.0.1:{placement.port}"
        outputs: dict[str, Any] = {
            "redisUrl": f"redis://default:{PASSWORD}@{place}",
            "adminDatabaseUrl": f"postgresql://postgres:{PASSWORD}@{place}/postgres",
            name: server_outputs(location, version="", programs=str(stage.programs(spec))),
        }
        resources = [server_resource(name, spec, location)]
        state = {"deployment": {"resources": resources}}
        monkeypatch.setattr(stacks, "export", lambda stack, project_root: state)
        yield Placed(placement, StackView("test", placements.PROJECT, outputs), resources)
        stage.stop(placement, spec)


@pytest.fixture(params=["postgres", "redis"])
def placed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Placed]:
    """Each server, brought up by the target in a folder of its own."""
    with _placed(request.param, monkeypatch) as found:
        yield found


@pytest.fixture
def placed_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Placed]:
    """Redis, which starts faster."""
    with _placed("redis", monkeypatch) as found:
        yield found


def test_restart_keeps_data_and_password(placed: Placed) -> None:
    before = placed.status()
    _write(placed)
    version = placed.restart()
    after = placed.status()
    assert after.authenticating
    assert after.version == version
    assert (after.port, after.pid == before.pid) == (before.port, False)
    assert _written(placed)


def _write(placed: Placed) -> None:
    if placed.name == "redis":
        with placed.client() as client:
            client.set("kept", "1")
    else:
        with placed.superuser() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")


def _written(placed: Placed) -> bool:
    if placed.name == "redis":
        with placed.client() as client:
            return client.get("kept") == b"1"
    with placed.superuser() as connection:
        return connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_log_of_a_server_with_a_file_of_its_own_is_that_file(placed: Placed, tmp_path: Path) -> None:
    server = replace(placed.view.server(placed.name), log_file=str(tmp_path / "own.log"))
    (tmp_path / "own.log").write_text("told here\n")
    os.chown(tmp_path / "own.log", account(server.location.user or None).uid, -1)
    assert server.log.last_lines(1) == ["told here"]
    described = {**placed.view.outputs[placed.name], "logFile": "/srv/own.log"}
    view = replace(placed.view, outputs={**placed.view.outputs, placed.name: described})
    assert view.server(placed.name).log_file == "/srv/own.log"


def test_log_of_a_placed_server_is_found(placed: Placed) -> None:
    server = placed.view.server(placed.name)
    lines = server.target.log(server.location).last_lines(100)
    assert any("ready to accept connections" in line.lower() for line in lines)


def test_restart_undoes_what_an_up_that_failed_has_written(placed_redis: Placed) -> None:
    file = placed_redis.placement.folder / "config" / "redis.conf"
    text = file.read_text()
    file.write_text(f"{text}maxclients 10\n")
    placed_redis.restart()
    assert file.read_text() == text


def test_server_that_the_state_does_not_know_is_told(placed_redis: Placed) -> None:
    pid = placed_redis.status().pid
    placed_redis.resources.clear()
    with pytest.raises(StackError, match=r"has no such server\n.*make up STACK=test"):
        placed_redis.restart()
    assert placed_redis.status().pid == pid


def test_folder_that_is_not_ours_is_left_alone(placed_redis: Placed, tmp_path: Path) -> None:
    pid = placed_redis.status().pid
    (resource,) = placed_redis.resources
    resource["inputs"]["location"]["names"]["folder"] = str(tmp_path)
    with pytest.raises(TargetError, match=r"there is no server of ours at this place\n.*make up"):
        placed_redis.restart()
    assert placed_redis.status().pid == pid
