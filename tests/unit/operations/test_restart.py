"""A restart keeps folder, port, password and data, and ends in a server that answers."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from infra.cache import parameters as cache_parameters
from infra.cache import server as cache_server
from infra.errors import TargetError
from infra.operations import logs, restart, status
from infra.operations.stack import StackView
from infra.postgres import parameters as postgres_parameters
from infra.postgres import server as postgres_server
from infra.settings import PostgresSettings, RedisSettings
from infra.targets import placement as placements
from infra.targets import processes, programs
from infra.targets.placement import Placement
from infra.targets.spec import ServerSpec
from tests.support import live_servers

PASSWORD = "a-password-for-tests-0123456789"


def _specification(name: str) -> tuple[ServerSpec, dict[str, str]]:
    """The documented server of this name, and its secret."""
    if name == "redis":
        return cache_server.spec(parameters=cache_parameters.declared(RedisSettings())), {"password": PASSWORD}
    declared = postgres_parameters.declared(PostgresSettings())
    return postgres_server.spec(parameters=declared, superuser="postgres"), {"superuser_password": PASSWORD}


@dataclass(frozen=True)
class Placed:
    """A server that the target runs, and the stack that describes it."""

    placement: Placement
    view: StackView

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
def _placed(name: str) -> Iterator[Placed]:
    spec, secrets = _specification(name)
    root = Path(tempfile.mkdtemp(prefix="circlepay-test-restart-"))
    root.chmod(0o755)
    placement = placements.place(
        data_root=root,
        clone_id="0123456789",
        stack="test",
        project_root=str(root),
        spec_name=spec.name,
        host="127.0.0.1",
        requested_port=live_servers.free_port(),
        documented_port=spec.documented_port,
        secrets_id="test",
    )
    found = programs.locate(spec, "wheel", placement.system_user, root)
    processes.apply(placement, spec, secrets, found, cancelled=threading.Event(), progress=lambda text: None)
    place = f"127.0.0.1:{placement.port}"
    outputs: dict[str, Any] = {
        "redisUrl": f"redis://:{PASSWORD}@{place}",
        "adminDatabaseUrl": f"postgresql://postgres:{PASSWORD}@{place}/postgres",
        name: {
            "address": "127.0.0.1",
            "port": placement.port,
            "version": "",
            "folder": str(placement.folder),
            "dataPath": str(placement.folder / "data"),
            "logPath": str(placement.folder / "logs"),
            "programs": str(found),
        },
    }
    try:
        yield Placed(placement, StackView("test", root, outputs))
    finally:
        processes.stop(placement, spec, progress=lambda text: None)
        shutil.rmtree(root)


@pytest.fixture(params=["postgres", "redis"])
def placed(request: pytest.FixtureRequest) -> Iterator[Placed]:
    """Each server, brought up by the target in a folder of its own."""
    with _placed(request.param) as found:
        yield found


@pytest.fixture
def placed_redis() -> Iterator[Placed]:
    """Redis, which starts faster."""
    with _placed("redis") as found:
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


def test_restart_starts_a_server_that_is_down(placed: Placed) -> None:
    pid = placed.status().pid
    assert pid is not None
    os.kill(pid, 9)
    placed.restart()
    assert placed.status().authenticating


def test_log_of_a_placed_server_is_found(placed: Placed) -> None:
    lines = logs.of(placed.view.server(placed.name), "test").last_lines(100)
    assert any("ready to accept connections" in line.lower() for line in lines)


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"], ids=["absent", "no json", "empty", "no object"])
def test_missing_or_damaged_specification_says_what_to_type(placed_redis: Placed, content: str | None) -> None:
    path = placed_redis.placement.folder / "run" / "spec.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    pid = placed_redis.status().pid
    with pytest.raises(TargetError, match="make up"):
        placed_redis.restart()
    assert placed_redis.status().pid == pid


def test_folder_that_is_not_ours_is_left_alone(placed_redis: Placed, tmp_path: Path) -> None:
    placed_redis.view.outputs["redis"]["folder"] = str(tmp_path)
    with pytest.raises(TargetError, match="there is no server of ours in this folder"):
        placed_redis.restart()
