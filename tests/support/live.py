"""A stack that is up, as a test meets it: its outputs, its databases, its processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis as redis_client
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.clones import Clone, Run
from tests.support.engine import ServerContainer
from tests.support.placements import wait_until

SERVERS = ("postgres", "redis")


@dataclass(frozen=True)
class ServerProcess:
    """A server that is a process of this machine; the same words as tests.support.engine.ServerContainer."""

    name: str
    port: int
    folder: Path

    @property
    def process(self) -> psutil.Process:
        """The one that listens on its port."""
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == self.port and connection.pid:
                return psutil.Process(connection.pid)
        raise AssertionError(f"nothing listens on port {self.port} of {self.name}")

    @property
    def identity(self) -> str:
        """The process; another one after a restart."""
        process = self.process
        return f"{process.pid} {process.create_time()}"

    @property
    def listening(self) -> set[tuple[str, int]]:
        """Every address on which it or a child of it listens."""
        process = self.process
        return {
            (connection.laddr.ip, connection.laddr.port)
            for member in [process, *process.children(recursive=True)]
            for connection in member.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }

    def kill(self) -> None:
        """Ends it without warning, as the kernel's out-of-memory killer does."""
        process = self.process
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: has_ended(process), seconds=30)

    def reload(self) -> None:
        """Has it read its files again, by hand."""
        os.kill(self.process.pid, signal.SIGHUP)

    def restart(self) -> None:
        """Ends it by hand; what starts it is `up`."""
        self.kill()

    def text(self, file: str) -> str:
        """One of its files."""
        return (self.folder / file).read_text()

    def edit(self, file: str, change: Callable[[str], str]) -> None:
        """One of its files edited by hand."""
        path = self.folder / file
        path.write_text(change(path.read_text()))

    def has_data(self, file: str) -> bool:
        """Whether its data is kept, with that file in it."""
        return (self.folder / "data" / file).exists()

    def laid_out(self, _: Path) -> Path:
        """The folder of its files, by `config`, `secrets`, `data`, `logs`."""
        return self.folder

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left, its data included."""
        return not self.folder.exists()


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, its entry in the process table aside: that one waits for init, which may take seconds."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class LiveStack:
    """The stack of a clone that is up."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs as they were first read; `fresh` reads them again."""
        return self.clone.outputs()

    def read_again(self) -> None:
        """For a test after which the outputs are others for good."""
        self.__dict__.pop("outputs", None)

    def fresh(self) -> LiveStack:
        """The same stack with its outputs read again."""
        return LiveStack(self.clone)

    @property
    def env_path(self) -> Path:
        """The env file."""
        return Path(self.outputs["envFile"])

    @contextmanager
    def as_superuser(self, database: str | None = None) -> Iterator[psycopg.Connection[Any]]:
        """A connection as the role that owns everything; statements commit by themselves."""
        url = self.outputs["adminDatabaseUrl"]
        with psycopg.connect(url, autocommit=True, connect_timeout=10, dbname=database) as connection:
            yield connection

    @contextmanager
    def as_application(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection as the application's role."""
        with psycopg.connect(self.outputs["databaseUrl"], autocommit=True, connect_timeout=10) as connection:
            yield connection

    @contextmanager
    def as_cache_client(self) -> Iterator[Any]:
        """An authenticated Redis client. A refusal is an answer: the library would ask ten more times, for seconds."""
        client = redis_client.Redis.from_url(
            self.outputs["redisUrl"], socket_timeout=10, decode_responses=True, retry=Retry(NoBackoff(), 0)
        )
        try:
            yield client
        finally:
            client.close()

    def insert_user(self, email: str) -> None:
        """One row that must still be there later."""
        with self.as_application() as connection:
            connection.execute(
                "INSERT INTO users (email, first_name, last_name, country_code) VALUES (%s, 'K', 'T', 'KR')", (email,)
            )

    def server(self, name: str) -> ServerProcess | ServerContainer:
        """One of the servers, where it runs."""
        about = self.outputs[name]
        port = int(about["port"])
        # An earlier release said in outputs of their own what is in the location now.
        names = about["location"]["names"] if "location" in about else {**about, "dataVolume": about["volume"]}
        if names.get("container"):
            return ServerContainer(names["container"], port, names["dataVolume"])
        return ServerProcess(name, port, Path(names["folder"]))

    def identities(self) -> dict[str, str]:
        """What tells each server from itself after a restart."""
        return {name: self.server(name).identity for name in SERVERS}

    def verify(self) -> Run:
        """`circlepay verify`."""
        return self.clone.run("circlepay", "verify", "--stack", self.clone.stack)

    def app_stub(self) -> dict[str, Any]:
        """What the application's stub reports; it must find nothing wrong."""
        report: dict[str, Any] = json.loads(
            self.clone.run("python", "-m", "app_stub", "--env-file", str(self.env_path)).expect().output
        )
        return report
