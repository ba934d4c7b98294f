"""Who owns the objects: a role that is no superuser and that nobody can log in as.

A cascade fires the triggers of a table as the table's owner, a view reads as its owner, and an index computes as its owner:
whoever may add a trigger reaches as far as that owner does. The record of applied migrations stays the superuser's; the
owner may add to it while it runs one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from infra.changes import Change
from infra.postgres import privileges, roles, structure
from infra.postgres.execution import raw
from infra.postgres.facts import Catalog, Table
from infra.postgres.migrations import RECORD_SCHEMA
from infra.postgres.privileges import APPLICATION_SCHEMA, PrivilegesDeclaration
from infra.postgres.roles import RoleDeclaration

if TYPE_CHECKING:
    from psycopg.sql import Composable

_WORDS = {"v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE"}
DATABASE_OWNER = "pg_database_owner"
"""A predefined role that stands for the owner of the database; PostgreSQL gives it the schema public."""


def prepare(catalog: Catalog, owner: RoleDeclaration, of_database: str) -> list[Change]:
    """The owner's role, and what it needs before it can run migrations; empty where nothing is missing. Pure.

    of_database: the database's own owner. Where both are the same, as they were before there was this role, it is left
    alone. Raises CatalogError for a role without our mark that is not to be adopted.
    """
    if owner.name == of_database:
        return []
    return [*roles.plan(catalog, owner), *privileges.plan_owner(catalog, PrivilegesDeclaration(owner=owner.name))]


def plan(catalog: Catalog, declared: Catalog | None, owner: str) -> list[Change]:
    """Changes that give the owner its objects; empty when none is needed. Pure. The superuser makes them.

    In the application's schema whatever belongs to a superuser is given to the owner, also what no migration creates:
    the application holds privileges on it. Functions, and what belongs to others, only where they are declared: the owner
    may replace a function, and a superuser may have it called, by an event trigger for one. declared: None while it is
    unknown.
    """
    return [*_schemas(catalog, declared, owner), *_objects(catalog, declared or Catalog(), owner)]


def _change(subject: str, observed: str, owner: str, target: Composable, lock: str = "none") -> Change:
    from psycopg.sql import SQL, Identifier

    return Change(
        subject=subject,
        action="alter",
        reason=f"owner is {observed}, declared {owner}",
        lock=lock,
        statement=SQL("ALTER {} OWNER TO {}").format(target, Identifier(owner)),
    )


def _schemas(catalog: Catalog, declared: Catalog | None, owner: str) -> Iterator[Change]:
    from psycopg.sql import SQL, Identifier

    names = {schema.name for schema in declared.schemas} if declared else {APPLICATION_SCHEMA}
    for schema in catalog.schemas:
        wanted = DATABASE_OWNER if schema.name == APPLICATION_SCHEMA else owner
        if schema.name in names - {RECORD_SCHEMA} and schema.owner != wanted:
            target = SQL("SCHEMA {}").format(Identifier(schema.name))
            yield _change(f"schema {schema.name}", schema.owner, wanted, target)


def _objects(catalog: Catalog, declared: Catalog, owner: str) -> Iterator[Change]:
    from psycopg.sql import SQL, Identifier

    superusers = {role.name for role in catalog.roles if role.superuser}

    def is_misplaced(schema: str, observed: str, is_declared: bool) -> bool:
        if observed == owner or schema == RECORD_SCHEMA:
            return False
        return is_declared or (schema == APPLICATION_SCHEMA and observed in superusers)

    tables = {(item.schema, item.name) for item in declared.tables}
    for table in catalog.tables:
        if is_misplaced(table.schema, table.owner, (table.schema, table.name) in tables):
            target = SQL("{} {}").format(raw(_WORDS.get(table.kind, "TABLE")), Identifier(table.schema, table.name))
            yield _change(f"table {table.schema}.{table.name}", table.owner, owner, target, _exclusive(table))
    sequences = {(item.schema, item.name) for item in declared.sequences}
    for sequence in catalog.sequences:
        # A sequence that belongs to a column follows its table; its owner cannot be changed alone.
        known = (sequence.schema, sequence.name) in sequences
        if not sequence.owned_by and is_misplaced(sequence.schema, sequence.owner, known):
            target = SQL("SEQUENCE {}").format(Identifier(sequence.schema, sequence.name))
            yield _change(f"sequence {sequence.schema}.{sequence.name}", sequence.owner, owner, target)
    functions = {(item.schema, item.name, item.arguments) for item in declared.functions}
    for function in catalog.functions:
        known = (function.schema, function.name, function.arguments) in functions
        if known and is_misplaced(function.schema, function.owner, known):
            target = SQL("ROUTINE {}({})").format(Identifier(function.schema, function.name), raw(function.arguments))
            yield _change(f"function {function.schema}.{function.name}", function.owner, owner, target)
    types = {(item.schema, item.name) for item in declared.types}
    for each in catalog.types:
        if is_misplaced(each.schema, each.owner, (each.schema, each.name) in types):
            target = SQL("TYPE {}").format(Identifier(each.schema, each.name))
            yield _change(f"type {each.schema}.{each.name}", each.owner, owner, target)


def _exclusive(table: Table) -> str:
    return f"ACCESS EXCLUSIVE on {table.schema}.{table.name}"


def foreign_key_triggers(catalog: Catalog, declared: Catalog) -> Iterator[Change]:
    """Foreign keys are enforced by internal triggers; DISABLE TRIGGER ALL disables them and shows nowhere else.

    Only a superuser may do either.
    """
    from psycopg.sql import SQL, Identifier

    for table in structure.known(catalog.tables, declared.tables):
        if table.internal_triggers_disabled:
            yield Change(
                subject=f"foreign-key triggers of {table.schema}.{table.name}",
                action="enable",
                reason=f"{table.internal_triggers_disabled} of them are disabled; rows written meanwhile may "
                "violate the foreign keys",
                lock=f"SHARE ROW EXCLUSIVE on {table.schema}.{table.name}",
                statement=SQL("ALTER TABLE {} ENABLE TRIGGER ALL").format(Identifier(table.schema, table.name)),
            )
