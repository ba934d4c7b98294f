"""Read-only connections for monitoring, with short timeouts and with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from infra.cache import connection as cache
from infra.endpoint import Login
from infra.errors import ServerError
from infra.postgres.connection import open_session
from infra.redaction import redact

if TYPE_CHECKING:
    from psycopg import Connection
    from redis import Redis

TIMEOUT = 5
"""Seconds to connect, and to wait for an answer of Redis."""
STATEMENT_SECONDS = 15
"""Monitoring must not add load: the server stops a query that takes longer."""
LOCK_SECONDS = 3
"""A lock held longer than this is probably the problem under investigation, and must not delay the other queries."""

READ_ONLY = {
    "default_transaction_read_only": "on",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
}


@contextmanager
def postgres(login: Login, *, application_name: str = "circlepay-monitor") -> Iterator[Connection]:
    """A read-only connection in autocommit. Raises ServerError when the server is down or refuses the login."""
    import psycopg

    try:
        connection = open_session(login, application_name=application_name, connect_timeout=TIMEOUT, settings=READ_ONLY)
    except psycopg.Error as error:
        raise _unreachable("connect to postgres", login, error) from None
    with connection:
        yield connection


@contextmanager
def redis(login: Login) -> Iterator[Redis]:
    """An authenticated client. Raises ServerError when the server is down or refuses the password."""
    from redis.exceptions import RedisError

    with cache.connect(login, timeout=TIMEOUT, client_name="circlepay-monitor") as client:
        try:
            client.ping()
        except (RedisError, OSError) as error:
            raise _unreachable("connect to redis", login, error) from None
        yield client


def _unreachable(operation: str, login: Login, error: Exception) -> ServerError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = redact(lines[-1] if lines else type(error).__name__, [login.password])
    return ServerError(
        operation, str(login.endpoint), cause, "`circlepay status` shows what is running; `make up` starts it"
    )
