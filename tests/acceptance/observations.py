"""The fixtures: each fact is read once per run, and nothing that is done to a server outlives its check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import testinfra
from psycopg.rows import dict_row
from testinfra.host import Host

from infra.verification import PostgresSubject, RedisSubject, ServerPlace, Subject
from tests.acceptance.container import Container, connection, inspect
from tests.acceptance.machine import Machine, look
from tests.acceptance.needs import missing, needs
from tests.acceptance.plugin import SUITE
from tests.acceptance.redis_wire import Conversation

CONNECT_TIMEOUT = 5
"""Seconds to connect to a server."""
CALM = "SET statement_timeout = '5s'; SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '20s'"
"""A check that waits for somebody's lock shall fail, not stand in the way."""
CATALOG_QUERY = Path(__file__).with_name("catalog.sql")

Connection = psycopg.Connection[dict[str, Any]]
Row = dict[str, Any]


def connect(subject: Subject, user: str, password: str, **options: Any) -> Connection:
    """A connection to the stack's database, in autocommit. Raises psycopg.OperationalError."""
    server = subject.postgres
    return psycopg.connect(
        host=server.host,
        port=server.port,
        dbname=server.database,
        user=user,
        password=password,
        connect_timeout=CONNECT_TIMEOUT,
        application_name="circlepay verification",
        autocommit=True,
        row_factory=dict_row,
        **options,
    )


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config) -> Subject:
    """The stack to look at."""
    return pytestconfig.stash[SUITE].subject


def in_place(text: str, server: PostgresSubject | RedisSubject) -> str:
    """A declared value with the placeholders of its server filled in."""
    for name, value in server.all_places.items():
        text = text.replace("{" + name + "}", value)
    return text


@pytest.fixture(scope="session")
def superuser(subject: Subject) -> Iterator[Connection]:
    """A connection as the superuser; names print unqualified exactly when they are in `public`."""
    with connect(subject, subject.postgres.superuser, subject.postgres.superuser_password) as connection:
        connection.execute(CALM + "; SET search_path = public")
        yield connection


@pytest.fixture(scope="session")
def application(subject: Subject) -> Iterator[Connection]:
    """A connection as the application's role, with the application's password."""
    with connect(subject, subject.postgres.application_role, subject.postgres.application_password) as connection:
        connection.execute(CALM)
        yield connection


@pytest.fixture(scope="session")
def catalog(subject: Subject, superuser: Connection) -> Row:
    """Every catalog fact the checks compare, by one statement; see catalog.sql for the shapes."""
    names = {"role": subject.postgres.application_role, "database": subject.postgres.database}
    facts = superuser.execute(CATALOG_QUERY.read_bytes(), names).fetchone()
    assert facts is not None
    return facts


@pytest.fixture(autouse=True)
def what_it_rests_on(request: pytest.FixtureRequest) -> None:
    """Leaves a check out that rests on a missing table or column: the check of that one fails, and says so once."""
    item = request.node
    group = item.path.stem.removeprefix("test_")
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    needed = needs(group, item.originalname, parameters)
    if not needed:
        return
    try:
        catalog = request.getfixturevalue("catalog")
    except psycopg.Error:
        # Without the superuser's login nothing is known to be missing.
        return
    absent = missing(needed, catalog["tables"] or (), catalog["columns"] or ())
    if absent:
        pytest.skip(f"{', '.join(absent)}: missing")


@pytest.fixture(scope="session")
def authentication_rules(superuser: Connection) -> list[Row]:
    """pg_hba.conf as the server reads it; apart from the catalog, since it fails where the file cannot be read."""
    return superuser.execute("SELECT * FROM pg_hba_file_rules").fetchall()


@pytest.fixture(scope="session")
def redis(subject: Subject) -> Iterator[Conversation]:
    """An authenticated conversation with the Redis server."""
    server = subject.redis
    with Conversation(server.host, server.port) as conversation:
        conversation.ask("AUTH", server.password)
        yield conversation


@pytest.fixture(scope="session")
def redis_settings(redis: Conversation) -> dict[str, str]:
    """CONFIG GET *, as a dictionary."""
    words = redis.ask("CONFIG", "GET", "*")
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.fixture(scope="session")
def redis_info(redis: Conversation) -> dict[str, str]:
    """INFO: field -> value."""
    lines = redis.ask("INFO").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


@pytest.fixture(scope="session")
def postgres_pid(catalog: Row) -> int:
    """The process that answers us, as its own machine or container numbers it."""
    return int(catalog["backend_pid"])


@pytest.fixture(scope="session")
def redis_pid(redis_info: dict[str, str]) -> int:
    """The server's process, as its own machine or container numbers it."""
    return int(redis_info["process_id"])


@pytest.fixture(scope="session")
def looked() -> dict[str, Machine]:
    """Machines that were looked at: container, or empty for the machine of the servers that are in none."""
    return {}


@pytest.fixture
def machine(request: pytest.FixtureRequest, subject: Subject, server: str, looked: dict[str, Machine]) -> Machine:
    """Processes, sockets and files where `server` runs, by one command for all servers there."""
    place = subject.servers[server]
    if place.container not in looked:
        there = [name for name, other in subject.servers.items() if other.container == place.container]
        pids = {name: request.getfixturevalue(f"{name}_pid") for name in there}
        looked[place.container] = look(_host(place), pids, subject)
    return looked[place.container]


def _host(place: ServerPlace) -> Host:
    """testinfra's host, from wherever the suite runs."""
    return connection(place) if place.container else testinfra.get_host("local://")


@pytest.fixture(scope="session")
def postgres_container(subject: Subject) -> Container:
    """The engine's description of PostgreSQL's container."""
    return inspect(subject.postgres)


@pytest.fixture(scope="session")
def redis_container(subject: Subject) -> Container:
    """The engine's description of Redis's container."""
    return inspect(subject.redis)


@pytest.fixture
def container(request: pytest.FixtureRequest, server: str) -> Container:
    """The engine's description of the container that `server` runs in."""
    described: Container = request.getfixturevalue(f"{server}_container")
    return described
