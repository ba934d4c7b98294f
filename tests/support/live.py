"""A stack that is up, as a test meets it: its outputs, its databases, its processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis as redis_client
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.clones import Clone, Run


class LiveStack:
    """The stack of a clone that is up."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs as they were first read; `fresh` reads them again."""
        return self.clone.outputs()

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
        options = {"dbname": database} if database else {}
        with psycopg.connect(
            self.outputs["adminDatabaseUrl"], autocommit=True, connect_timeout=10, **options
        ) as connection:
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

    def process(self, server: str) -> psutil.Process:
        """The server's process: the one that listens on its port."""
        port = int(self.outputs[server]["port"])
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return psutil.Process(connection.pid)
        raise AssertionError(f"nothing listens on port {port} of {server}")

    def verify(self) -> Run:
        """`circlepay verify`."""
        return self.clone.run("circlepay", "verify", "--stack", self.clone.stack)

    def app_stub(self) -> dict[str, Any]:
        """What the application's stub reports; it must find nothing wrong."""
        report: dict[str, Any] = json.loads(
            self.clone.run("python", "-m", "app_stub", "--env-file", str(self.env_path)).expect().output
        )
        return report
