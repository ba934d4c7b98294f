"""Everything in a PostgreSQL database, planned or applied as one: database, schema, access.

    read -> database -> migrations -> repairs -> role and privileges -> findings

Safe to run concurrently (the second run waits, reads, and finds nothing to do) and to kill at any moment (the next run
continues): facts are read under the same lock as the changes are made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from infra.changes import Change, Finding, describe
from infra.endpoint import Login
from infra.errors import CatalogError, MigrationError, ServerError
from infra.postgres import (
    adoption,
    catalog,
    database,
    declared,
    execution,
    limits,
    migrations,
    ownership,
    parameters,
    privilege_findings,
    privileges,
    roles,
    schema,
    session_settings,
)
from infra.postgres.connection import MAINTENANCE_DATABASE, SUPERUSERS_SETTING, beside, connect, exclusive, reconnected
from infra.postgres.database import DatabaseDeclaration
from infra.postgres.facts import Catalog
from infra.postgres.indexes import OptionalDrop, read_optional_drops
from infra.postgres.migrations import Migration
from infra.postgres.patience import LOCK_TRY
from infra.postgres.privileges import PrivilegesDeclaration
from infra.postgres.roles import RoleDeclaration
from infra.postgres.schema import SchemaDeclaration

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

    from infra.settings.model import PostgresSettings


class Section(StrEnum):
    """Parts that can be planned and applied alone; each depends on the ones before it."""

    DATABASE = "database"
    SCHEMA = "schema"
    ACCESS = "access"


EVERYTHING = frozenset(Section)
_TRIGGERS_FIRE = {SUPERUSERS_SETTING: "origin"}
"""For what migrations write, whatever somebody has set for the superuser or for every role."""

SCHEMA = "schema"
"""The subject of findings about the declared schema as a whole."""


@dataclass(frozen=True)
class DatabaseObjects:
    """The declaration. cache: folder for files that can be recreated. Timeouts in seconds.

    owner: of the objects; where it is the database's own owner, as it was before there was a role for this, it is left
    alone.
    """

    database: DatabaseDeclaration
    owner: RoleDeclaration
    role: RoleDeclaration
    privileges: PrivilegesDeclaration
    migrations: tuple[Migration, ...]
    cache: Path
    drops: tuple[OptionalDrop, ...] = ()
    drop_redundant: bool = False
    lock_timeout: float = 10.0
    statement_timeout: float = 600.0

    @property
    def lock_try(self) -> float:
        """Seconds that one try waits for a lock."""
        return min(LOCK_TRY, self.lock_timeout)

    @property
    def managed_roles(self) -> list[str]:
        """Names of the roles that are made and mended here."""
        return [self.role.name, self.owner.name]


@dataclass(frozen=True)
class Outcome:
    """changes: planned, or done, in order. findings: what needs a person's decision. catalog: the facts last read, if any."""

    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
    catalog: Catalog | None = field(default=None, repr=False)


def declare(settings: PostgresSettings, *, application_password: str, sql: Path, cache: Path) -> DatabaseObjects:
    """The declaration of a stack. sql: the folder with `migrations` and `optional`. Raises MigrationError, CatalogError."""
    return DatabaseObjects(
        database=DatabaseDeclaration(
            name=settings.database,
            owner=settings.superuser,
            encoding=settings.encoding,
            locale_provider=settings.locale_provider,
            locale=settings.locale,
            tablespace=settings.tablespace,
            connection_limit=settings.connection_limit,
            adopt=settings.adopt,
        ),
        owner=roles.owner(settings.owner_role, adopt=settings.adopt),
        role=RoleDeclaration(settings.application_role, application_password, adopt=settings.adopt),
        privileges=PrivilegesDeclaration(
            settings.application_role, settings.owner_role, settings.restrict_public, settings.restrict_application
        ),
        migrations=tuple(migrations.load(sql / "migrations")),
        cache=cache,
        drops=read_optional_drops(sql / "optional" / "drop_redundant_indexes.sql"),
        drop_redundant=settings.drop_redundant_indexes,
        lock_timeout=settings.lock_timeout,
        statement_timeout=settings.statement_timeout,
    )


def plan_all(login: Login, objects: DatabaseObjects, *, sections: Collection[Section] = EVERYTHING) -> Outcome:
    """What `apply_all` would do; reads only, in one round trip. Raises the same errors, before anything is changed."""
    connection = _connect(login, objects)
    if connection is not None:
        with connection:
            return plan(catalog.read(connection), objects, sections=sections)
    with _maintenance(login, objects) as maintenance:
        database.check_locale(maintenance, objects.database)
        name = objects.database.name
        facts = catalog.read_overview(
            maintenance, databases=[name, database.unfinished_name(name)], roles=objects.managed_roles
        )
        return plan(facts, objects, exists=False, sections=sections)


def plan(
    facts: Catalog, objects: DatabaseObjects, *, exists: bool = True, sections: Collection[Section] = EVERYTHING
) -> Outcome:
    """The same from facts that were already read. exists: False when they are those of another database of the server.

    Reads the cache folder, not the server. Without a declared schema in the cache (no `up` in this clone yet) the
    schema's drift is unknown, and a finding says so.
    """
    if exists:
        return _plan_existing(facts, objects, sections)
    changes = database.plan(facts, objects.database) if Section.DATABASE in sections else []
    new = catalog.of_new_database(facts, objects.database.name)
    return Outcome((*changes, *_plan_new(new, objects, sections)), (), new)


def _plan_new(facts: Catalog, objects: DatabaseObjects, sections: Collection[Section]) -> list[Change]:
    """For an empty database every change is known in advance."""
    changes: list[Change] = []
    if Section.SCHEMA in sections:
        changes += ownership.prepare(facts, objects.owner, objects.database.owner)
        changes += _role_first(facts, objects, sections)
        changes += migrations.plan(facts, objects.migrations, objects.owner.name)
    if Section.ACCESS in sections:
        changes += [] if Section.SCHEMA in sections else _role_changes(facts, objects)
        changes += privileges.plan(facts, objects.privileges, tables_follow=True)
    return changes


def _role_changes(facts: Catalog, objects: DatabaseObjects) -> list[Change]:
    return [*roles.plan(facts, objects.role), *session_settings.plan(facts, objects.role.name)]


def _role_first(facts: Catalog, objects: DatabaseObjects, sections: Collection[Section]) -> list[Change]:
    """The application's role, which migrations may name: whole where it is this run's to declare, else without a login yet."""
    return _role_changes(facts, objects) if Section.ACCESS in sections else roles.reserve(facts, objects.role.name)


def _overview_query(objects: DatabaseObjects) -> Composable:
    name = objects.database.name
    return catalog.overview_query([name, database.unfinished_name(name)], objects.managed_roles)


def _plan_existing(facts: Catalog, objects: DatabaseObjects, sections: Collection[Section]) -> Outcome:
    changes: list[Change] = []
    known = declared.recall(objects.cache, objects.migrations, facts.server.major)
    if Section.DATABASE in sections:
        changes += database.plan(facts, objects.database)
    else:
        database.refuse_foreign(facts, objects.database)
    waiting: list[Change] = []
    if Section.SCHEMA in sections:
        waiting = adoption.preview(facts, objects.migrations, objects.owner.name, adopt=objects.database.adopt)
        changes += [
            *ownership.prepare(facts, objects.owner, objects.database.owner),
            *_role_first(facts, objects, sections),
            *ownership.plan(facts, known, objects.owner.name),
            *waiting,
        ]
        if known is not None and not any(change.action == "apply" for change in waiting):
            changes += [*ownership.foreign_key_triggers(facts, known), *schema.plan(facts, _schema(objects, known))]
    if Section.ACCESS in sections:
        changes += [] if Section.SCHEMA in sections else _role_changes(facts, objects)
        changes += privileges.plan(facts, objects.privileges, tables_follow=bool(waiting) and not facts.tables)
    return Outcome(tuple(changes), tuple(_findings(facts, objects, known, sections)), facts)


def _schema(objects: DatabaseObjects, known: Catalog) -> SchemaDeclaration:
    return SchemaDeclaration(known, objects.drops, objects.drop_redundant)


def _findings(
    facts: Catalog, objects: DatabaseObjects, known: Catalog | None, sections: Collection[Section]
) -> Iterator[Finding]:
    if Section.DATABASE in sections:
        yield from database.findings(facts, objects.database)
    if Section.SCHEMA in sections:
        if known is not None:
            yield from schema.findings(facts, _schema(objects, known))
        elif facts.tables:
            remedy = "run `up`, which replays the migrations once in a scratch database"
            yield Finding(
                SCHEMA, "its drift is unknown: the migrations have not been replayed by this clone yet", remedy
            )
        yield from limits.findings(facts)
        if objects.owner.name != objects.database.owner:
            yield from roles.findings(facts, objects.owner)
    if Section.ACCESS in sections:
        yield from roles.findings(facts, objects.role)
        yield from roles.undeclared(facts, objects.role)
        yield from session_settings.findings(facts, objects.role.name, frozenset(parameters.NAMES))
        yield from privilege_findings.findings(facts, objects.privileges)


def _silent(_line: str) -> None:
    """Discards progress messages."""


def apply_all(
    login: Login,
    objects: DatabaseObjects,
    *,
    cancelled: threading.Event | None = None,
    progress: Callable[[str], None] = _silent,
    sections: Collection[Section] = EVERYTHING,
    observe: bool = True,
    connection: Connection | None = None,
) -> Outcome:
    """Brings the database to its declaration and returns what was done; no changes when it already matches.

    connection: an open session in the database; it stays open. observe: reads the database afterwards, for findings and
    so that the next plan knows the declared schema. Raises ServerError, CatalogError and MigrationError; a cancelled run
    raises CatalogError and keeps what it had finished.
    """
    run = _Run(login, objects, cancelled or threading.Event(), progress, frozenset(sections), observe)
    if connection is not None:
        return run.fill(connection)
    connection = _connect(login, objects)
    if connection is None:
        run.create_database()
        connection = _connect(login, objects)
    if connection is None:
        raise ServerError(
            "connect to PostgreSQL", f"database {objects.database.name}", "it was dropped in the meantime", "run again"
        )
    with connection:
        return run.fill(connection)


@dataclass
class _Run:
    """One call of apply_all: its arguments, and what it has done so far."""

    login: Login
    objects: DatabaseObjects
    cancelled: threading.Event
    progress: Callable[[str], None]
    sections: frozenset[Section]
    observe: bool
    done: list[Change] = field(default_factory=list)
    refused: list[Finding] = field(default_factory=list)

    def create_database(self) -> None:
        """Creates the database, or allows connections to it again; from the maintenance database, under its lock."""
        if Section.DATABASE not in self.sections:
            raise CatalogError(
                "change the database", f"database {self.objects.database.name}", "does not exist", "run the whole `up`"
            )
        with (
            _maintenance(self.login, self.objects) as maintenance,
            exclusive(maintenance, self.cancelled, ask=_overview_query(self.objects)) as answer,
        ):
            facts = catalog.parse_overview(answer)
            if facts.database(self.objects.database.name) is None:
                database.check_locale(maintenance, self.objects.database)
                # A role without our mark stops the run before anything is created.
                if Section.SCHEMA in self.sections:
                    ownership.prepare(facts, self.objects.owner, self.objects.database.owner)
                if Section.ACCESS in self.sections:
                    roles.plan(facts, self.objects.role)
            self._run(maintenance, database.plan(facts, self.objects.database))

    def fill(self, connection: Connection) -> Outcome:
        with exclusive(connection, self.cancelled, ask=_overview_query(self.objects)) as answer:
            facts = catalog.parse_overview(answer)
            if self.sections == {Section.DATABASE}:
                self._run(connection, self._database_changes(facts))
                return self._finish(connection, facts, None)
            if facts.empty and Section.SCHEMA in self.sections and not self._a_role_exists(facts):
                return self._fill_empty(connection, facts)
            return self._repair(connection, catalog.read(connection))

    def _a_role_exists(self, facts: Catalog) -> bool:
        """Whether there is a role to repair; the overview does not hold all facts that this needs."""
        if facts.role(self.objects.owner.name) is not None:
            return True
        return Section.ACCESS in self.sections and facts.role(self.objects.role.name) is not None

    def _fill_empty(self, connection: Connection, facts: Catalog) -> Outcome:
        changes = self._database_changes(facts)
        self._run(connection, [*changes, *_plan_new(facts, self.objects, self.sections)])
        if not self.observe:
            return Outcome(tuple(self.done))
        document = catalog.read_document(connection)
        known = declared.remember(self.objects.cache, self.objects.migrations, facts.server.major, document)
        return self._finish(connection, catalog.parse(document), known)

    def _database_changes(self, facts: Catalog) -> list[Change]:
        if Section.DATABASE in self.sections:
            return database.plan(facts, self.objects.database)
        database.refuse_foreign(facts, self.objects.database)
        return []

    def _repair(self, connection: Connection, facts: Catalog) -> Outcome:
        changes = self._database_changes(facts)
        if Section.SCHEMA not in self.sections:
            self._run(connection, changes)
            return self._finish(connection, facts, None)
        changes += ownership.prepare(facts, self.objects.owner, self.objects.database.owner)
        changes += _role_first(facts, self.objects, self.sections)
        adopted = adoption.plan(facts, self.objects.migrations, self.objects.database.adopt, self._replay)
        self._run(connection, [*changes, *adopted])
        if self._give_to_owner(connection, facts) or adopted:
            facts = catalog.read(connection)
        waiting = migrations.plan(facts, self.objects.migrations, self.objects.owner.name)
        for change in waiting:
            self._run(connection, [change])
        if waiting:
            facts = catalog.read(connection)
        return self._finish(connection, facts, self._declared(facts))

    def _give_to_owner(self, connection: Connection, facts: Catalog) -> list[Change]:
        """Before the migrations, which could not alter what belongs to somebody else."""
        known = declared.recall(self.objects.cache, self.objects.migrations, facts.server.major)
        if known is None and ownership.plan(facts, None, self.objects.owner.name):
            applied = self.objects.migrations[: len(facts.migrations) or None]
            known = self._replay(list(applied))
        return self._repair_objects(connection, ownership.plan(facts, known, self.objects.owner.name))

    def _repair_objects(
        self, connection: Connection, changes: list[Change], observer: Connection | None = None
    ) -> list[Change]:
        wait = self.objects.lock_timeout
        done, refused = execution.repair(connection, changes, cancelled=self.cancelled, wait=wait, observer=observer)
        self.refused += refused
        self._report(done)
        return done

    def _declared(self, facts: Catalog) -> Catalog | None:
        """None, with a finding, where the replay fails: the database itself is as its migrations have left it."""
        known = declared.recall(self.objects.cache, self.objects.migrations, facts.server.major)
        if known is not None:
            return known
        try:
            document = declared.replay(self.login, self.objects.migrations, cancelled=self.cancelled)
        except MigrationError as error:
            if self.cancelled.is_set():
                raise
            problem = f"its drift is unknown: {error.operation}: {error.path}: {error.cause}"
            remedy = "a new database could not be made of these migrations either: make what the file needs in an earlier one"
            self.refused.append(Finding(SCHEMA, problem, remedy))
            return None
        return declared.remember(self.objects.cache, self.objects.migrations, facts.server.major, document)

    def _replay(self, chosen: list[Migration]) -> Catalog:
        return catalog.parse(declared.replay(self.login, chosen, cancelled=self.cancelled))

    def _finish(self, connection: Connection, facts: Catalog, known: Catalog | None) -> Outcome:
        if known is not None:
            misplaced = ownership.plan(facts, known, self.objects.owner.name)
            mended = self._repair_objects(connection, [*misplaced, *ownership.foreign_key_triggers(facts, known)])
            if repairs := schema.plan(facts, _schema(self.objects, known)):
                with beside(connection, self.objects.owner.name) as session:
                    mended += self._repair_objects(session, repairs, observer=connection)
            if mended:
                # What was mended may have findings of its own, and others may be gone with it.
                facts = catalog.read(connection)
        if Section.ACCESS in self.sections:
            of_role = [] if Section.SCHEMA in self.sections else _role_changes(facts, self.objects)
            access = [*of_role, *privileges.plan(facts, self.objects.privileges)]
            self._run(connection, access)
        told = any(finding.subject == SCHEMA for finding in self.refused)
        found = [
            item
            for item in _findings(facts, self.objects, known, self.sections)
            if not (told and item.subject == SCHEMA)
        ]
        return Outcome(tuple(self.done), (*self.refused, *found), facts)

    def _run(self, connection: Connection, changes: list[Change]) -> None:
        execution.run(connection, changes, cancelled=self.cancelled, wait=self.objects.lock_timeout)
        self._report(changes)

    def _report(self, changes: list[Change]) -> None:
        self.done += changes
        for change in changes:
            self.progress(describe(change.as_dict()))


def _connect(login: Login, objects: DatabaseObjects) -> Connection | None:
    """A session in the database; None when it does not exist or allows no connections. Raises ServerError otherwise."""
    name = objects.database.name
    try:
        return connect(
            reconnected(login, name),
            lock_timeout=objects.lock_try,
            statement_timeout=objects.statement_timeout,
            more=_TRIGGERS_FIRE,
        )
    except ServerError:
        # The reason comes only as text in the server's language, so the catalog is asked instead.
        with _maintenance(login, objects) as maintenance:
            row = maintenance.execute("SELECT datallowconn FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if row is None or not row[0]:
            return None
        raise


@contextmanager
def _maintenance(login: Login, objects: DatabaseObjects) -> Iterator[Connection]:
    with connect(
        reconnected(login, MAINTENANCE_DATABASE),
        lock_timeout=objects.lock_try,
        statement_timeout=objects.statement_timeout,
    ) as connection:
        yield connection
