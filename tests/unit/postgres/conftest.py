"""Real PostgreSQL servers, of the wheel and of Debian, and databases on them with everything applied."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

from infra.endpoint import Endpoint, Login
from infra.postgres import objects, roles
from infra.postgres.connection import connect, reconnected
from infra.postgres.database import MARK, DatabaseDeclaration
from infra.postgres.indexes import read_optional_drops
from infra.postgres.migrations import load
from infra.postgres.objects import DatabaseObjects, Outcome
from infra.postgres.privileges import PrivilegesDeclaration
from infra.postgres.roles import RoleDeclaration
from tests.support import live_servers
from tests.support.live_servers import LiveServer

PASSWORD = "app-Password-123456 %:/@'\"\\"
ROLE = "circlepay_user"
OWNER = "circlepay_owner"
_numbers = itertools.count(1)


@dataclass
class Stage:
    """A database of its own on a real server, and its declaration."""

    server: LiveServer
    objects: DatabaseObjects
    login: Login = field(init=False)

    def __post_init__(self) -> None:
        self.login = Login(
            Endpoint("127.0.0.1", self.server.port), "postgres", self.server.password, self.objects.database.name
        )

    @property
    def name(self) -> str:
        """The database's name."""
        return self.objects.database.name

    def plan(self, **changes: Any) -> Outcome:
        """What `up` would do."""
        return objects.plan_all(self.login, self.declared(**changes))

    def apply(self, **changes: Any) -> Outcome:
        """Do it."""
        return objects.apply_all(self.login, self.declared(**changes))

    def declared(self, **changes: Any) -> DatabaseObjects:
        """The declaration with other values; a dict changes fields of that part."""
        wanted = self.objects
        for name, value in changes.items():
            part = replace(getattr(wanted, name), **value) if isinstance(value, dict) else value
            wanted = replace(wanted, **{name: part})
        return wanted

    def connect(self, database: str = "") -> psycopg.Connection[Any]:
        """A superuser's session."""
        return connect(reconnected(self.login, database or self.name))

    def run(self, *statements: str, database: str = "") -> None:
        """As a superuser, one statement after the other."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def ask(self, query: str, *values: Any, database: str = "") -> Any:
        """The first column of the first row. values: for the query's %s."""
        with self.connect(database) as connection:
            row = connection.execute(query.encode(), values or None).fetchone()
        return row[0] if row else None

    @contextmanager
    def as_application(self, password: str = PASSWORD) -> Iterator[psycopg.Connection[Any]]:
        """A session of the application's role, logged in with its password."""
        login = Login(self.login.endpoint, self.objects.role.name, password, self.name)
        with connect(login) as connection:
            yield connection


def mended(stage: Stage, **changes: Any) -> list[str]:
    """Applies, sees that nothing is left to do, and answers what was done, as «action subject»."""
    planned = stage.plan(**changes)
    outcome = stage.apply(**changes)
    assert [(change.action, change.subject) for change in planned.changes] == [
        (change.action, change.subject) for change in outcome.changes
    ], "the preview is what happens"
    assert stage.plan(**changes).changes == ()
    assert stage.apply(**changes).changes == ()
    return [f"{change.action} {change.subject}" for change in outcome.changes]


@pytest.fixture(scope="session", params=["wheel", "debian"])
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """PostgreSQL 18 of the wheel, and the oldest one Debian has here (15 on Debian 12)."""
    programs = live_servers.debian_postgres() if request.param == "debian" else None
    with live_servers.postgres(programs) as found:
        # Each test makes and drops a database, and nobody needs one of them after a crash.
        with (found.folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("fsync = off\nfull_page_writes = off\n")
        with live_servers.connect(found, "postgres") as connection:
            connection.execute("SELECT pg_reload_conf()")
        yield found


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where declared schemas are kept."""
    return tmp_path_factory.mktemp("cache")


def _declaration(name: str, role: str, cache: Path, owner: str = OWNER) -> DatabaseObjects:
    return DatabaseObjects(
        database=DatabaseDeclaration(name, locale_provider="libc", locale="C.UTF-8"),
        owner=roles.owner(owner),
        role=RoleDeclaration(role, PASSWORD),
        privileges=PrivilegesDeclaration(role, owner),
        migrations=tuple(load(live_servers.MIGRATIONS)),
        cache=cache,
        drops=read_optional_drops(live_servers.SQL / "optional" / "drop_redundant_indexes.sql"),
        lock_timeout=5.0,
        statement_timeout=60.0,
    )


@pytest.fixture(scope="session")
def finished(server: LiveServer, cache: Path) -> Stage:
    """A database with everything applied, which nobody changes: others are copied from it."""
    stage = Stage(server, _declaration("finished", ROLE, cache))
    stage.apply()
    return stage


@pytest.fixture
def stage(finished: Stage) -> Iterator[Stage]:
    """A copy of the finished database, and its declaration."""
    with copied(finished) as copy:
        yield copy


@contextmanager
def copied(finished: Stage) -> Iterator[Stage]:
    """A copy of a database, which is dropped afterwards."""
    name = f"copy{next(_numbers)}"
    copy = Stage(finished.server, _declaration(name, ROLE, finished.objects.cache))
    with finished.connect("postgres") as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE finished").format(Identifier(name)))
        connection.execute(SQL("COMMENT ON DATABASE {} IS {}").format(Identifier(name), Literal(MARK)))
        connection.execute(SQL("GRANT CONNECT ON DATABASE {} TO {}").format(Identifier(name), Identifier(ROLE)))
        grant = SQL("GRANT CREATE, CONNECT, TEMPORARY ON DATABASE {} TO {}")
        connection.execute(grant.format(Identifier(name), Identifier(OWNER)))
    try:
        yield copy
    finally:
        _drop(copy)


@pytest.fixture
def bare(server: LiveServer, tmp_path: Path) -> Iterator[Stage]:
    """A declaration whose database and role do not exist, with a cache of its own."""
    number = next(_numbers)
    roles_of_it = (f"bare{number}_user", f"bare{number}_owner")
    stage = Stage(server, _declaration(f"bare{number}", roles_of_it[0], tmp_path / "cache", roles_of_it[1]))
    yield stage
    _drop(stage)
    stage.run(*(f"DROP ROLE IF EXISTS {role}" for role in roles_of_it), database="postgres")


def _drop(stage: Stage) -> None:
    stage.run(f"DROP DATABASE IF EXISTS {stage.name} WITH (FORCE)", database="postgres")
