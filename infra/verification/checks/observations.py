"""The fixtures: each fact is read once per run, and every change to a server is undone by its check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from infra.cache import wire
from infra.endpoint import Endpoint, Login
from infra.paths import PROJECT_ROOT
from infra.postgres.catalog import read as read_catalog
from infra.postgres.connection import connect as open_for_repair
from infra.postgres.connection import open_session
from infra.postgres.declared import recall
from infra.postgres.facts import Catalog
from infra.postgres.migrations import load as load_migrations
from infra.verification.checks.machine import Machine, observe
from infra.verification.checks.plugin import SUITE
from infra.verification.checks.prerequisites import missing, prerequisites
from infra.verification.subject import PostgresSubject, RedisSubject, Subject

APPLICATION_NAME = "circlepay verification"
TIMEOUT = 5
"""Seconds to connect to a server, and for each answer of Redis."""
SESSION_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "20s",
    "idle_session_timeout": 0,
    "exit_on_error": "off",
    "datestyle": "ISO",
    "client_encoding": "UTF8",
    "default_transaction_isolation": r"read\ committed",
}
"""A check that waits for another session's lock fails instead of blocking others; and what a role or a database sets for
its sessions, which is reported, does not fail the checks."""
NO_LIMIT = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'"
"""PostgreSQL has that limit from 17 on."""
SUCCEEDED = "CP000"
"""An SQLSTATE of our own, with which a successful attempt is rolled back."""
ATTEMPT = f"""
BEGIN
    EXECUTE {{}};
    RAISE EXCEPTION USING ERRCODE = '{SUCCEEDED}';
EXCEPTION WHEN OTHERS THEN
    PERFORM pg_catalog.set_config('circlepay.attempt', SQLSTATE, false);
END"""
CATALOG_QUERY = Path(__file__).with_name("catalog.sql")

Connection = psycopg.Connection[dict[str, Any]]
Row = dict[str, Any]
Ask = Callable[..., Any]
"""Takes the words of a Redis command, answers text, None or a list. Raises wire.RefusedError, OSError or ValueError."""


def connect(subject: Subject, user: str, password: str, **options: Any) -> Connection:
    """A connection to the stack's database, in autocommit. Raises psycopg.OperationalError."""
    server = subject.postgres
    login = Login(Endpoint(server.host, server.port), user, password, server.database)
    return open_session(
        login,
        application_name=APPLICATION_NAME,
        connect_timeout=TIMEOUT,
        settings=SESSION_SETTINGS,
        row_factory=dict_row,
        **options,
    )


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config) -> Subject:
    """The stack to verify."""
    return pytestconfig.stash[SUITE].subject


def in_place(text: str, server: PostgresSubject | RedisSubject) -> str:
    """A declared value with the placeholders of its server filled in."""
    for name, value in server.placeholders.items():
        text = text.replace("{" + name + "}", value)
    return text


@pytest.fixture(scope="session")
def superuser(subject: Subject) -> Iterator[Connection]:
    """A connection as the superuser; names print unqualified exactly when they are in `public`."""
    with connect(subject, subject.postgres.superuser, subject.postgres.superuser_password) as connection:
        connection.execute(NO_LIMIT.encode())
        connection.execute("SET search_path = public")
        yield connection


@pytest.fixture(scope="session")
def application(subject: Subject) -> Iterator[Connection]:
    """A connection as the application's role, with the application's password."""
    with connect(subject, subject.postgres.application_role, subject.postgres.application_password) as connection:
        connection.execute(NO_LIMIT.encode())
        yield connection


def attempt(connection: Connection, statement: str | sql.Composed) -> str | None:
    """The SQLSTATE a statement fails with, None when it succeeds; rolled back in either case.

    The error is caught where it happens: what is refused as it should be leaves no line in the server's log.
    """
    text = statement if isinstance(statement, str) else statement.as_string(connection)
    connection.execute(sql.SQL("DO {}").format(sql.Literal(ATTEMPT.format(sql.Literal(text).as_string(connection)))))
    row = connection.execute("SELECT current_setting('circlepay.attempt') AS state").fetchone()
    assert row is not None
    return None if row["state"] == SUCCEEDED else str(row["state"])


@pytest.fixture(scope="session")
def catalog(subject: Subject, superuser: Connection) -> Row:
    """All catalog facts that the checks compare, read by one statement; see catalog.sql for the shapes."""
    own = subject.postgres
    names = {"role": own.application_role, "owner": own.owner, "database": own.database}
    facts = superuser.execute(CATALOG_QUERY.read_bytes(), names).fetchone()
    assert facts is not None
    return facts


@pytest.fixture(scope="session")
def facts(subject: Subject) -> Catalog:
    """What repairs are computed from, read as `up` reads it."""
    server = subject.postgres
    login = Login(Endpoint(server.host, server.port), server.superuser, server.superuser_password, server.database)
    with open_for_repair(login) as connection:
        return read_catalog(connection)


@pytest.fixture(scope="session")
def declared(facts: Catalog) -> Catalog | None:
    """What the migrations make, as the last `up` of this clone has kept it; None where there was none yet."""
    migrations = load_migrations(PROJECT_ROOT / "sql" / "migrations")
    return recall(PROJECT_ROOT / ".circlepay" / "cache", migrations, facts.server.major)


@pytest.fixture(autouse=True)
def skip_without_prerequisites(request: pytest.FixtureRequest) -> None:
    """Skips a check whose table or column is missing: only the check of that object fails, once."""
    item = request.node
    group = item.path.stem.removeprefix("test_")
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = prerequisites(group, item.originalname, parameters)
    if not names:
        return
    try:
        catalog = request.getfixturevalue("catalog")
    except psycopg.Error:
        # Without the superuser's login it is unknown what is missing.
        return
    absent = missing(names, catalog["tables"] or (), catalog["columns"] or ())
    if absent:
        pytest.skip(f"{', '.join(absent)}: missing")


@pytest.fixture(scope="session")
def authentication_rules(superuser: Connection) -> list[Row]:
    """pg_hba.conf as the server parses it; separate from the catalog, since it fails if the file cannot be read."""
    return superuser.execute("SELECT * FROM pg_hba_file_rules").fetchall()


@pytest.fixture(scope="session")
def redis(subject: Subject) -> Ask:
    """Asks the Redis server, with its password."""
    server = subject.redis
    place, login = Endpoint(server.host, server.port), ("AUTH", server.password)
    return lambda *words: wire.answer(place, login, words, timeout=TIMEOUT)


@pytest.fixture(scope="session")
def redis_settings(redis: Ask) -> dict[str, str]:
    """CONFIG GET *, as a dictionary."""
    words = redis("CONFIG", "GET", "*")
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.fixture(scope="session")
def redis_info(redis: Ask) -> dict[str, str]:
    """INFO: field -> value."""
    lines = redis("INFO").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


@pytest.fixture(scope="session")
def postgres_pid(catalog: Row) -> int:
    """Process id of the connection's backend, in the pid namespace of its machine or container."""
    return int(catalog["backend_pid"])


@pytest.fixture(scope="session")
def redis_pid(redis_info: dict[str, str]) -> int:
    """Process id of the server, in the pid namespace of its machine or container."""
    return int(redis_info["process_id"])


@pytest.fixture(scope="session")
def machines() -> dict[str, Machine]:
    """The machines observed so far, by the server that has one to itself; the empty name is the one that servers share."""
    return {}


@pytest.fixture
def machine(request: pytest.FixtureRequest, subject: Subject, server: str, machines: dict[str, Machine]) -> Machine:
    """Processes, sockets and files where `server` runs, by one command for all servers there."""
    isolated = subject.isolated
    key = server if server in isolated else ""
    if key not in machines:
        servers = [server] if key else [name for name in subject.servers if name not in isolated]
        pids = {name: request.getfixturevalue(f"{name}_pid") for name in servers}
        place = subject.servers[server]
        machines[key] = observe(place.target.host(place.location), pids, subject)
    return machines[key]
