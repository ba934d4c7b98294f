"""Sessions on a PostgreSQL server: all of them are opened here, independent of the caller's PG* environment variables.

`connect` opens those that read and change: with timeouts, and with a fixed search path so that definitions are always
printed alike.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from infra.endpoint import Login
from infra.errors import ServerError
from infra.postgres.patience import LOCK_TRY

if TYPE_CHECKING:
    import threading

    from psycopg import Connection
    from psycopg.sql import Composable

CONNECT_TIMEOUT = 10
"""Seconds until an address that does not answer is an error."""

MAINTENANCE_DATABASE = "postgres"
"""Exists on every server; used while the declared database does not exist."""

LOCK_KEY = 0x636972636C650001
"""Advisory lock held while a database's objects are changed. An arbitrary number: «circle» in ASCII, then 1."""

WORK_KEY = LOCK_KEY + 1
"""Held by a session that works beside the one that holds LOCK_KEY: the server goes on with its statement when this process is
killed, and the next run must not begin before that is over."""

SUPERUSERS_SETTING = "session_replication_role"
"""The one setting among those of a session that only a superuser may choose."""

_LOCK_POLL = 0.05

_SAID = {"gssencmode": "disable", "client_encoding": "UTF8"}
"""Explicit in every session: asking for Kerberos takes time, and statements are sent as UTF-8."""


class NoAnswer(ServerError):  # noqa: N818 - a state of the server, not a mistake in the code
    """No answer within the timeout: the server hangs or is paused, and another query would take as long again."""


def open_session(
    server: Login | str,
    *,
    application_name: str,
    connect_timeout: int,
    settings: Mapping[str, object] | None = None,
    **parameters: Any,
) -> Connection[Any]:
    """A session in autocommit on a login's server, or on the one that a URL names.

    connect_timeout: seconds. settings: the server's, for this session; values without blanks. parameters: more of
    psycopg's and libpq's, in place of what a URL says. Raises psycopg.Error.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    forget_user_defaults()
    said: dict[str, Any] = {
        **_SAID,
        "options": " ".join(f"-c {name}={value}" for name, value in (settings or {}).items()),
        **(conninfo_to_dict(server) if isinstance(server, str) else _named(server)),
        "application_name": application_name,
        "connect_timeout": connect_timeout,
        **parameters,
    }
    return psycopg.connect(autocommit=True, **said)


def forget_user_defaults() -> None:
    """Takes libpq's variables out of this process's environment, where an explicit parameter cannot outweigh all of them.

    PGHOSTADDR would send a login, and its password, to another server than the requested one; PGTZ outweighs `options`.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _named(login: Login) -> dict[str, Any]:
    return {
        "host": login.endpoint.host,
        "port": login.endpoint.port,
        "user": login.user,
        "password": login.password,
        "dbname": login.database or MAINTENANCE_DATABASE,
    }


def connect(
    login: Login,
    *,
    lock_timeout: float = LOCK_TRY,
    statement_timeout: float = 600.0,
    more: Mapping[str, object] | None = None,
) -> Connection:
    """A session in autocommit. Timeouts in seconds. more: settings of this session that only some users may set.

    Raises ServerError, or NoAnswer; never shows the password.
    """
    # search_path is fixed so that definitions read from the catalog name objects the same way in every session, and so
    # that a role's or database's own search_path cannot send a migration elsewhere; the others so that no setting by hand
    # switches off what repairs rely on. JIT costs more than it saves here.
    settings = {
        "search_path": "public",
        "lock_timeout": round(lock_timeout * 1000),
        "statement_timeout": round(statement_timeout * 1000),
        "client_min_messages": "warning",
        "datestyle": "ISO",
        "timezone": "UTC",
        "standard_conforming_strings": "on",
        "default_transaction_read_only": "off",
        # A session that holds the advisory lock is idle while another one works.
        "idle_session_timeout": 0,
        "quote_all_identifiers": "off",
        "jit": "off",
        **(more or {}),
    }
    where = f"{login.user}@{login.endpoint}/{login.database or MAINTENANCE_DATABASE}"
    return _opened(login, where, settings=settings)


def _opened(server: Login | str, where: str, **parameters: Any) -> Connection:
    import psycopg

    try:
        return open_session(server, application_name="circlepay", connect_timeout=CONNECT_TIMEOUT, **parameters)
    except psycopg.OperationalError as error:
        kind = NoAnswer if isinstance(error, psycopg.errors.ConnectionTimeout) else ServerError
        raise kind(
            "connect to PostgreSQL",
            where,
            " ".join(str(error).split()),
            "check that the server is running and that its password is the one in the stack's state",
        ) from None


@contextmanager
def beside(connection: Connection, role: str = "") -> Iterator[Connection]:
    """Another session like it, for what must neither see nor leave anything of a session. Raises ServerError.

    role: who has logged in to it, in place of the same user. Any function or trigger that runs in a session can end a SET ROLE
    and a SET SESSION AUTHORIZATION, and would be the superuser again.
    """
    from psycopg.sql import SQL, Literal

    info = connection.info
    user = role or info.user
    where = f"{user}@{info.host}:{info.port}/{info.dbname}"
    with _let_in(connection, user) as password:
        found = _opened(info.dsn, where, user=user, password=password, **_options(info.dsn, user == info.user))
    with found:
        found.execute(SQL("SELECT pg_advisory_lock({})").format(Literal(WORK_KEY)))
        yield found


def _options(dsn: str, is_superuser: bool) -> dict[str, str]:
    from psycopg.conninfo import conninfo_to_dict

    told = str(conninfo_to_dict(dsn).get("options") or "")
    own = [word for word in told.split(" -c ") if is_superuser or not word.startswith(SUPERUSERS_SETTING)]
    return {"options": " -c ".join(own)}


@contextmanager
def _let_in(superuser: Connection, role: str) -> Iterator[str]:
    """A password of the role for the moment that a login takes: one that cannot log in is given one that is kept nowhere."""
    if role == superuser.info.user:
        yield superuser.info.password
        return
    from psycopg.sql import SQL, Identifier, Literal

    from infra.postgres.roles import verifier

    password, name = secrets.token_urlsafe(32), Identifier(role)
    superuser.execute(SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, Literal(verifier(password))))
    try:
        yield password
    finally:
        superuser.execute(SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(name))


def reconnected(login: Login, database: str) -> Login:
    """The same server and user, in another database."""
    return Login(login.endpoint, login.user, login.password, database)


@contextmanager
def exclusive(
    connection: Connection, cancelled: threading.Event, *, wait: float = 120.0, ask: Composable | None = None
) -> Iterator[Any]:
    """Holds the advisory lock of this database, so that no other run of this package changes it meanwhile.

    Polls instead of waiting inside the server: a waiting session holds a snapshot, and CREATE INDEX CONCURRENTLY in the
    session that holds the lock would wait for that snapshot: a deadlock. wait: seconds. ask: a query sent together with
    the lock request and run after it; the first column of its first row is yielded. Raises ServerError.
    """
    deadline = time.monotonic() + wait
    while not (found := _try_lock(connection, ask))[0]:
        if cancelled.is_set() or time.monotonic() > deadline:
            raise ServerError(
                "wait for another run",
                connection.info.dbname,
                f"{_holder(connection)} is changing this database" + (" (cancelled)" if cancelled.is_set() else ""),
                "let it finish, or end that session, then run again",
            )
        cancelled.wait(_LOCK_POLL)
    try:
        yield found[1]
    finally:
        if not connection.closed and not connection.broken:
            connection.execute("SELECT pg_advisory_unlock_all()")


def _try_lock(connection: Connection, ask: Composable | None) -> tuple[bool, Any]:
    """Two statements in one message: the second sees everything committed before the lock was granted."""
    from psycopg.sql import SQL, Literal

    query = SQL(
        "SELECT CASE WHEN pg_try_advisory_lock({lock}) THEN CASE WHEN pg_try_advisory_lock({work})"
        " THEN pg_advisory_unlock({work}) ELSE NOT pg_advisory_unlock({lock}) END END;\n{ask}"
    ).format(lock=Literal(LOCK_KEY), work=Literal(WORK_KEY), ask=ask or SQL("SELECT NULL"))
    cursor = connection.execute(query)
    row = cursor.fetchone()
    cursor.nextset()
    answer = cursor.fetchone()
    return bool(row and row[0]), answer[0] if answer else None


def _holder(connection: Connection) -> str:
    row = connection.execute(
        """
        SELECT format('session %%s (%%s, since %%s)', a.pid, a.application_name, date_trunc('second', a.backend_start))
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND (l.classid::bigint << 32) + l.objid::bigint IN (%s, %s) AND l.pid <> pg_backend_pid()
        """,
        (LOCK_KEY, WORK_KEY),
    ).fetchone()
    return str(row[0]) if row else "a session that has just ended"
