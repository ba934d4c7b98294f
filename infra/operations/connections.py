"""Connections for looking: read-only by intention, short of patience, and with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from infra.endpoint import Login
from infra.errors import ServerError

if TYPE_CHECKING:
    from psycopg import Connection
    from redis import Redis

PATIENCE = 5
"""Seconds to connect, and to wait for an answer of Redis."""
STATEMENT_MILLISECONDS = 15_000
"""A look must not become the load: a monitoring query that takes longer is stopped by the server."""
LOCK_SECONDS = 3
"""Ordinary locks pass in a moment. What is locked longer is what somebody came to see: the other answers must not wait."""


@contextmanager
def postgres(login: Login, *, application_name: str = "circlepay-monitor") -> Iterator[Connection]:
    """A read-only connection in autocommit. Raises ServerError when the server is down or refuses the login."""
    import psycopg

    try:
        connection = psycopg.connect(
            host=login.endpoint.host,
            port=login.endpoint.port,
            user=login.user,
            password=login.password,
            dbname=login.database,
            connect_timeout=PATIENCE,
            application_name=application_name,
            options=f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_MILLISECONDS}"
            f" -c lock_timeout={LOCK_SECONDS}s",
            autocommit=True,
        )
    except psycopg.Error as error:
        raise _unreachable("connect to postgres", login, error) from None
    with connection:
        yield connection


@contextmanager
def redis(login: Login) -> Iterator[Redis]:
    """A client that has authenticated. Raises ServerError when the server is down or refuses the password."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    client = Redis(
        host=login.endpoint.host,
        port=login.endpoint.port,
        username=login.user or None,
        password=login.password,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
        client_name="circlepay-monitor",
    )
    with client:
        try:
            client.ping()
        except (RedisError, OSError) as error:
            raise _unreachable("connect to redis", login, error) from None
        yield client


def _unreachable(operation: str, login: Login, error: Exception) -> ServerError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = (lines[-1] if lines else type(error).__name__).replace(login.password or "\0", "***")
    return ServerError(operation, str(login.endpoint), cause, "`circlepay status` says what runs; `make up` starts it")
