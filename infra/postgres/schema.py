"""Drift of the schema: what can be restored without touching rows is restored, the rest is reported with its migration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.changes import Change, Finding
from infra.postgres import constraints, indexes, structure, table_rules
from infra.postgres.execution import joined, raw
from infra.postgres.facts import Catalog, Column, Sequence, Table, Trigger
from infra.postgres.indexes import SMALL_TABLE, OptionalDrop

if TYPE_CHECKING:
    from psycopg.sql import Composable

_ENABLE = {"O": "ENABLE TRIGGER", "A": "ENABLE ALWAYS TRIGGER", "R": "ENABLE REPLICA TRIGGER", "D": "DISABLE TRIGGER"}
_ENABLED = {"O": "enabled", "A": "enabled always", "R": "enabled on replicas only", "D": "disabled"}


@dataclass(frozen=True)
class SchemaDeclaration:
    """catalog: what the migrations produce. drops: applied only with drop_redundant."""

    catalog: Catalog
    drops: tuple[OptionalDrop, ...] = ()
    drop_redundant: bool = False


def plan(catalog: Catalog, declared: SchemaDeclaration) -> list[Change]:
    """Repairs that neither rewrite nor lose rows, in the order of their dependencies; the objects' owner makes them. Pure."""
    wanted = declared.catalog
    return [
        *_sequences(catalog, wanted),
        *_functions(catalog, wanted),
        *_columns(catalog, wanted),
        *constraints.plan(catalog, wanted),
        *indexes.plan(catalog, wanted, declared.drops, drop_redundant=declared.drop_redundant),
        *_triggers(catalog, wanted),
        *table_rules.plan(catalog, wanted),
    ]


def findings(catalog: Catalog, declared: SchemaDeclaration) -> list[Finding]:
    """Differences that only a migration may change, and objects that no migration creates. Pure."""
    return [
        *structure.differences(catalog, declared.catalog),
        *constraints.findings(catalog, declared.catalog),
        *indexes.findings(catalog, declared.catalog),
        *structure.unknown(catalog, declared.catalog),
        *table_rules.findings(catalog, declared.catalog),
    ]


def _exclusive(table: Table) -> str:
    return f"ACCESS EXCLUSIVE on {table.schema}.{table.name}"


def _sequences(catalog: Catalog, declared: Catalog) -> Iterator[Change]:
    observed = {(item.schema, item.name): item for item in catalog.sequences}
    columns = {f"{item.schema}.{item.table}.{item.name}" for item in catalog.columns}
    for wanted in declared.sequences:
        found = observed.get((wanted.schema, wanted.name))
        if wanted.owned_by and wanted.owned_by not in columns:
            continue
        if found is None:
            yield _create_sequence(wanted)
        else:
            yield from _alter_sequence(found, wanted)


def _create_sequence(wanted: Sequence) -> Change:
    from psycopg.sql import SQL, Identifier, Literal

    name = Identifier(wanted.schema, wanted.name)
    create = SQL("CREATE SEQUENCE {} AS {} INCREMENT {} MINVALUE {} MAXVALUE {} START {} CACHE {} {}").format(
        name,
        raw(wanted.type),
        Literal(wanted.increment),
        Literal(wanted.minimum),
        Literal(wanted.maximum),
        Literal(wanted.start),
        Literal(wanted.cache),
        raw("CYCLE" if wanted.cycle else "NO CYCLE"),
    )
    statements: list[Composable] = [create]
    if wanted.owned_by:
        schema, table, column = wanted.owned_by.split(".")
        statements.append(SQL("ALTER SEQUENCE {} OWNED BY {}").format(name, Identifier(schema, table, column)))
        # Continues after the existing rows; otherwise the next insert would repeat a key.
        statements.append(
            SQL("SELECT setval({}, max({}::bigint)) FROM {} HAVING max({}) IS NOT NULL").format(
                Literal(f'"{wanted.schema}"."{wanted.name}"'),
                Identifier(column),
                Identifier(schema, table),
                Identifier(column),
            )
        )
    return Change(f"sequence {wanted.schema}.{wanted.name}", "create", "is missing", statement=joined(statements))


def _alter_sequence(found: Sequence, wanted: Sequence) -> Iterator[Change]:
    from psycopg.sql import SQL, Identifier, Literal

    words: list[tuple[str, Composable]] = []
    if found.increment != wanted.increment:
        words.append((f"increment is {found.increment}", SQL("INCREMENT {}").format(Literal(wanted.increment))))
    if found.cache != wanted.cache:
        words.append((f"cache is {found.cache}", SQL("CACHE {}").format(Literal(wanted.cache))))
    if found.cycle != wanted.cycle:
        words.append((f"cycle is {found.cycle}", raw("CYCLE" if wanted.cycle else "NO CYCLE")))
    if found.owned_by != wanted.owned_by:
        owner: Composable = Identifier(*wanted.owned_by.split(".")) if wanted.owned_by else raw("NONE")
        words.append((f"belongs to {found.owned_by or 'no column'}", SQL("OWNED BY {}").format(owner)))
    if words:
        yield Change(
            subject=f"sequence {found.schema}.{found.name}",
            action="alter",
            reason=", ".join(reason for reason, _ in words),
            lock=f"SHARE ROW EXCLUSIVE on {found.schema}.{found.name}",
            statement=SQL("ALTER SEQUENCE {} {}").format(
                Identifier(found.schema, found.name), SQL(" ").join([clause for _, clause in words])
            ),
        )


def _functions(catalog: Catalog, declared: Catalog) -> Iterator[Change]:
    observed = {(item.schema, item.name, item.arguments): item for item in catalog.functions}
    for wanted in declared.functions:
        found = observed.get((wanted.schema, wanted.name, wanted.arguments))
        if not wanted.definition or (found is not None and found.definition == wanted.definition):
            continue
        yield Change(
            subject=f"function {wanted.schema}.{wanted.name}",
            action="alter" if found else "create",
            reason="its definition is not the declared one" if found else "is missing",
            statement=raw(wanted.definition),
        )


def _columns(catalog: Catalog, declared: Catalog) -> Iterator[Change]:
    tables = {(table.schema, table.name): table for table in catalog.tables}
    observed = {(item.schema, item.table, item.name): item for item in catalog.columns}
    for wanted in declared.columns:
        found = observed.get((wanted.schema, wanted.table, wanted.name))
        if found is None or found.generated != wanted.generated or found.identity != wanted.identity:
            continue
        table = tables[wanted.schema, wanted.table]
        if found.default != wanted.default and not wanted.generated:
            yield _default(found, wanted, table)
        if found.not_null != wanted.not_null:
            yield from _not_null(wanted, table) if wanted.not_null else [_nullable(wanted, table)]


def _alter_column(wanted: Column, table: Table, reason: str, words: Composable) -> Change:
    from psycopg.sql import SQL, Identifier

    return Change(
        subject=f"column {wanted.schema}.{wanted.table}.{wanted.name}",
        action="alter",
        reason=reason,
        lock=_exclusive(table),
        statement=SQL("ALTER TABLE {} ALTER COLUMN {} {}").format(
            Identifier(wanted.schema, wanted.table), Identifier(wanted.name), words
        ),
    )


def _default(found: Column, wanted: Column, table: Table) -> Change:
    words = raw("DROP DEFAULT" if wanted.default is None else f"SET DEFAULT {wanted.default}")
    observed = "no default" if found.default is None else f"default {found.default}"
    declared = "none" if wanted.default is None else wanted.default
    return _alter_column(wanted, table, f"has {observed}, declared {declared}", words)


def _nullable(wanted: Column, table: Table) -> Change:
    return _alter_column(wanted, table, "is NOT NULL, declared nullable", raw("DROP NOT NULL"))


def _not_null(wanted: Column, table: Table) -> Iterator[Change]:
    from psycopg.sql import SQL, Identifier

    change = _alter_column(wanted, table, "is nullable, declared NOT NULL", raw("SET NOT NULL"))
    if table.bytes <= SMALL_TABLE:
        yield change
        return
    # SET NOT NULL reads the table under ACCESS EXCLUSIVE, unless a valid CHECK already proves that there is no NULL.
    target = Identifier(wanted.schema, wanted.table)
    name = Identifier(f"{wanted.name[:48]}_is_not_null")
    check = SQL("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({} IS NOT NULL) NOT VALID").format(
        target, name, Identifier(wanted.name)
    )
    again = SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(target, name)
    validate = SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(target, name)
    assert change.statement is not None  # noqa: S101
    yield Change(
        subject=change.subject,
        action=change.action,
        reason=change.reason,
        lock=f"{change.lock}, briefly; rows are read while writers continue",
        statement=joined([again, check, validate, change.statement, again]),
        transactional=False,
    )


def _triggers(catalog: Catalog, declared: Catalog) -> Iterator[Change]:
    tables = {(table.schema, table.name): table for table in catalog.tables}
    observed = {(item.schema, item.table, item.name): item for item in catalog.triggers}
    for wanted in declared.triggers:
        table = tables.get((wanted.schema, wanted.table))
        if table is None:
            continue
        found = observed.get((wanted.schema, wanted.table, wanted.name))
        if found is None and wanted.inherited:
            continue
        if found is None or (found.definition != wanted.definition and not wanted.inherited):
            reason = f"is «{found.definition}», declared «{wanted.definition}»" if found else "is missing"
            definition = re.sub(r"^CREATE TRIGGER ", "CREATE OR REPLACE TRIGGER ", wanted.definition)
            yield _trigger(wanted, "alter" if found else "create", reason, raw(definition))
        if (found.enabled if found else "O") != wanted.enabled:
            reason = f"is {_ENABLED[found.enabled if found else 'O']}, declared {_ENABLED[wanted.enabled]}"
            yield _trigger(wanted, "enable", reason, _switch(wanted))


def _switch(wanted: Trigger) -> Composable:
    from psycopg.sql import SQL, Identifier

    return SQL("ALTER TABLE {} {} {}").format(
        Identifier(wanted.schema, wanted.table), raw(_ENABLE[wanted.enabled]), Identifier(wanted.name)
    )


def _trigger(wanted: Trigger, action: str, reason: str, statement: Composable) -> Change:
    return Change(
        subject=f"trigger {wanted.schema}.{wanted.table}.{wanted.name}",
        action=action,
        reason=reason,
        lock=f"SHARE ROW EXCLUSIVE on {wanted.schema}.{wanted.table}",
        statement=statement,
    )
