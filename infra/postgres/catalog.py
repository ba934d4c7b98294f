"""Reads the facts of one database and its server in one round trip; changes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

from infra.errors import CatalogError
from infra.postgres.facts import (
    AppliedMigration,
    Catalog,
    Column,
    Constraint,
    Database,
    DefaultGrant,
    Function,
    Grant,
    Index,
    Membership,
    OtherGrant,
    OtherObject,
    Override,
    Role,
    RoleSettings,
    Schema,
    Sequence,
    Server,
    Setting,
    Table,
    TableRule,
    Trigger,
    Type,
)
from infra.postgres.patience import patiently

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed

__all__ = [
    "Catalog",
    "LockedError",
    "of_new_database",
    "overview_query",
    "parse",
    "parse_overview",
    "read",
    "read_document",
    "read_overview",
]

MARK_BEGINS = "circlepay: managed"
"""The beginning of the comment on managed databases and roles."""

SCHEMA_SECTIONS = (
    "schemas",
    "tables",
    "columns",
    "constraints",
    "indexes",
    "triggers",
    "policies",
    "rules",
    "others",
    "functions",
    "sequences",
    "types",
)
"""The sections that migrations produce; the rest depends on the server."""

LOCK_WAIT = 2.0
"""Seconds for which reading is tried while a lock keeps a part of it: a change of the application's schema is over by then."""

OLDEST, NEWEST = 15, 18
"""Major versions of PostgreSQL this package is tested with."""


_SECTIONS: dict[str, type[Any]] = {
    "databases": Database,
    "roles": Role,
    "memberships": Membership,
    "role_settings": RoleSettings,
    "schemas": Schema,
    "tables": Table,
    "columns": Column,
    "constraints": Constraint,
    "indexes": Index,
    "triggers": Trigger,
    "policies": TableRule,
    "rules": TableRule,
    "others": OtherObject,
    "functions": Function,
    "sequences": Sequence,
    "types": Type,
    "grants": Grant,
    "other_grants": OtherGrant,
    "default_grants": DefaultGrant,
    "settings": Setting,
    "overrides": Override,
    "migrations": AppliedMigration,
}
Record = TypeVar("Record")


def parse(document: Mapping[str, Any]) -> Catalog:
    """A catalog from the JSON of `catalog.sql`; sections left out are empty. Raises KeyError or TypeError on other
    JSON.
    """
    sections = {name: _records(kind, document.get(name, ())) for name, kind in _SECTIONS.items()}
    sections["migrations"] = tuple(sorted(sections["migrations"], key=lambda applied: applied.version))
    return Catalog(
        server=Server(**document.get("server", {})),
        tablespaces=tuple(document.get("tablespaces", ())),
        recorded=document.get("recorded", False),
        empty=document.get("empty", False),
        **sections,
    )


def _records(kind: type[Record], items: Iterable[Mapping[str, Any]]) -> tuple[Record, ...]:
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    return tuple(kind(*(_immutable(item[name]) for name in names)) for item in items)


def _immutable(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


@cache
def _query(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def read(connection: Connection, parameters: Iterable[str] = ()) -> Catalog:
    """Everything about the connected database in one round trip. parameters: names of settings to read as well.

    Raises CatalogError where the server is older or newer than what is supported, or the user may not read a catalog.
    """
    document = read_document(connection, parameters)
    return parse(document)


def read_document(connection: Connection, parameters: Iterable[str] = ()) -> dict[str, Any]:
    """The same facts as JSON. Holds password verifiers: only the SCHEMA_SECTIONS may be written anywhere."""
    _check_version(connection)
    return _ask(connection, "catalog.sql", {"parameters": list(parameters)})


def read_overview(connection: Connection, *, databases: Iterable[str] = (), roles: Iterable[str] = ()) -> Catalog:
    """The server, the named databases and roles, and whether the database is still empty: a fifth of the cost of `read`.

    An empty database has the privileges that CREATE DATABASE gives, so nothing more needs to be read about it.
    """
    _check_version(connection)
    row = connection.execute(overview_query(databases, roles)).fetchone()
    return parse_overview(row[0] if row else "{}")


def overview_query(databases: Iterable[str], roles: Iterable[str]) -> Composed:
    """The query of `read_overview`; parse_overview reads its answer."""
    from psycopg.sql import SQL, Literal

    return SQL(_query("overview.sql")).format(
        databases=Literal(list(databases)), roles=Literal(list(roles)), mark=Literal(f"{MARK_BEGINS}%")
    )


def parse_overview(answer: str) -> Catalog:
    """A catalog from the answer to `overview_query`. Raises ValueError and KeyError on other text."""
    document = json.loads(answer)
    facts = parse(document)
    return of_new_database(facts, facts.server.database) if document["empty"] else facts


def of_new_database(facts: Catalog, name: str) -> Catalog:
    """The same server's facts, and what a database called `name` holds right after CREATE DATABASE. Pure."""
    found = facts.database(name)
    owner, public = found.owner if found else "", "pg_database_owner"
    return Catalog(
        server=replace(facts.server, database=name),
        databases=facts.databases,
        tablespaces=facts.tablespaces,
        roles=facts.roles,
        memberships=facts.memberships,
        role_settings=facts.role_settings,
        schemas=(Schema("public", public),),
        grants=(
            Grant("database", "", name, "", owner, owner, "PUBLIC", "TEMPORARY", grantable=False),
            Grant("database", "", name, "", owner, owner, "PUBLIC", "CONNECT", grantable=False),
            Grant("schema", "", "public", "", public, public, "PUBLIC", "USAGE", grantable=False),
        ),
        empty=True,
    )


class LockedError(CatalogError):
    """Somebody's lock keeps even a reader waiting; the message names what is locked, and by whom."""


def _ask(connection: Connection, name: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    import psycopg

    def attempt() -> Any:
        return connection.execute(_query(name).encode(), values).fetchone()

    try:
        row = patiently(attempt, seconds=LOCK_WAIT, cancelled=threading.Event())
    except psycopg.errors.LockNotAvailable:
        raise LockedError(
            "read the catalog",
            connection.info.dbname,
            f"cannot be read while {_holders(connection)}",
            "let it finish, or end that session, then run again",
        ) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise CatalogError(
            "read the catalog",
            connection.info.dbname,
            str(error.diag.message_primary),
            f"connect as a superuser; {connection.info.user} is not one",
        ) from None
    document: dict[str, Any] = json.loads(row[0]) if row else {}
    return document


def _holders(connection: Connection) -> str:
    row = connection.execute(
        """
        SELECT string_agg(format('table %s is locked by session %s (%s, in a transaction since %s)', l.relation::regclass, l.pid,
                                 coalesce(nullif(a.application_name, ''), a.usename),
                                 to_char(a.xact_start, 'HH24:MI:SS')), ', ' ORDER BY l.relation)
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid JOIN pg_class c ON c.oid = l.relation
        WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
          AND l.pid <> pg_backend_pid() AND a.datname = current_database()
        """
    ).fetchone()
    return str(row[0]) if row and row[0] else "a session that has ended in the meantime locks a table"


def _check_version(connection: Connection) -> None:
    major = connection.info.server_version // 10000
    if not OLDEST <= major <= NEWEST:
        raise CatalogError(
            "read the catalog",
            f"{connection.info.host}:{connection.info.port}",
            f"the server is PostgreSQL {major}",
            f"PostgreSQL {OLDEST} to {NEWEST} are supported",
        )
