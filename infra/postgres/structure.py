"""Differences of the schema that only a migration may change, and objects that no migration creates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from infra.changes import Finding
from infra.postgres.facts import Catalog, Column, Table

_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}
_BY_ALEMBIC = "alembic_version"


class _Named(Protocol):
    @property
    def schema(self) -> str: ...
    @property
    def name(self) -> str: ...


Item = TypeVar("Item", bound=_Named)


def known(observed: Iterable[Item], declared: Iterable[_Named]) -> list[Item]:
    """The items of `observed` that are declared, by schema and name."""
    names = {(item.schema, item.name) for item in declared}
    return [item for item in observed if (item.schema, item.name) in names]


def differences(catalog: Catalog, declared: Catalog) -> list[Finding]:
    """Declared tables, columns and sequences that are missing or different. Pure."""
    return [*_tables(catalog, declared), *_columns(catalog, declared), *_sequences(catalog, declared)]


def _tables(catalog: Catalog, declared: Catalog) -> Iterator[Finding]:
    observed = {(table.schema, table.name): table for table in catalog.tables}
    for wanted in declared.tables:
        found = observed.get((wanted.schema, wanted.name))
        subject = f"{_KINDS[wanted.kind]} {wanted.schema}.{wanted.name}"
        if found is None:
            yield Finding(subject, "is missing", f"restore it from a backup; or {_recreation(wanted, declared)}")
            continue
        if found.kind != wanted.kind:
            yield Finding(subject, f"is a {_KINDS[found.kind]}", "add a migration that replaces it")
        if found.unlogged:
            remedy = f"add a migration: ALTER TABLE {wanted.schema}.{wanted.name} SET LOGGED"
            yield Finding(subject, "is UNLOGGED: a crash empties it", remedy)
        if found.definition != wanted.definition:
            yield Finding(subject, "its query is not the declared one", "add a migration with CREATE OR REPLACE VIEW")


def _recreation(table: Table, declared: Catalog) -> str:
    """How to create a lost table again, empty. Its migration is recorded as applied, so no `up` runs it again."""
    if table.kind != "r":
        return "run the statement that creates it in sql/migrations as the superuser, then `up`"
    columns = [_column(item) for item in declared.columns if (item.schema, item.table) == (table.schema, table.name)]
    return (
        "create it again, empty, then run `up`, which adds its defaults, keys, indexes, triggers and privileges: "
        f"circlepay psql -- -c 'CREATE TABLE {table.schema}.{table.name} ({', '.join(columns)})'"
    )


def _column(column: Column) -> str:
    """As in CREATE TABLE, without the default: it may hold shell quotes, and `up` adds it."""
    words = [column.name, column.type]
    if column.collation:
        words.append(f"COLLATE {column.collation}")
    if column.not_null:
        words.append("NOT NULL")
    if column.identity:
        words.append(f"GENERATED {'ALWAYS' if column.identity == 'a' else 'BY DEFAULT'} AS IDENTITY")
    if column.generated:
        words.append(f"GENERATED ALWAYS AS ({column.default}) STORED")
    return " ".join(words)


def _columns(catalog: Catalog, declared: Catalog) -> Iterator[Finding]:
    tables = {(table.schema, table.name) for table in known(catalog.tables, declared.tables)}
    observed = {(item.schema, item.table, item.name): item for item in catalog.columns}
    wanted = {(item.schema, item.table, item.name): item for item in declared.columns}
    for key, column in wanted.items():
        found = observed.get(key)
        target = f"ALTER TABLE {column.schema}.{column.table}"
        if key[:2] not in tables:
            continue
        if found is None:
            remedy = f"restore its values, or add a migration: {target} ADD COLUMN {column.name} {column.type}"
            yield Finding(_named(column), "is missing", remedy)
        else:
            yield from _changed(found, column, target)
    for key, column in observed.items():
        if key[:2] in tables and key not in wanted:
            target = f"ALTER TABLE {column.schema}.{column.table}"
            remedy = (
                f"add a migration: {target} DROP COLUMN {column.name}, "
                f"or ADD COLUMN IF NOT EXISTS {column.name} {column.type}"
            )
            yield Finding(_named(column), f"no migration creates it ({column.type})", remedy)


def _named(column: Column) -> str:
    return f"column {column.schema}.{column.table}.{column.name}"


def _changed(found: Column, wanted: Column, target: str) -> Iterator[Finding]:
    if (found.type, found.collation) != (wanted.type, wanted.collation):
        observed = f"{found.type} {found.collation}".strip()
        remedy = f"add a migration: {target} ALTER COLUMN {wanted.name} TYPE {wanted.type}"
        yield Finding(_named(wanted), f"is {observed}, declared {f'{wanted.type} {wanted.collation}'.strip()}", remedy)
    if (found.identity, found.generated) != (wanted.identity, wanted.generated):
        yield Finding(
            _named(wanted),
            f"identity or generation differs ({found.identity or found.generated or 'none'})",
            f"add a migration that alters {wanted.name}",
        )


def _sequences(catalog: Catalog, declared: Catalog) -> Iterator[Finding]:
    wanted = {(item.schema, item.name): item for item in declared.sequences}
    for found in known(catalog.sequences, declared.sequences):
        item = wanted[found.schema, found.name]
        observed = (found.type, found.minimum, found.maximum)
        if observed != (item.type, item.minimum, item.maximum):
            yield Finding(
                f"sequence {found.schema}.{found.name}",
                f"is {found.type} from {found.minimum} to {found.maximum}, "
                f"declared {item.type} from {item.minimum} to {item.maximum}",
                f"add a migration: ALTER SEQUENCE {found.schema}.{found.name} AS {found.type}, "
                "and the column's type with it",
            )


def unknown(catalog: Catalog, declared: Catalog) -> list[Finding]:
    """Tables, views, triggers, functions, sequences and types in managed schemas that no migration creates. Pure."""
    return [*_extra_tables(catalog, declared), *_extra_triggers(catalog, declared), *_extra_others(catalog, declared)]


def _schemas(declared: Catalog) -> set[str]:
    return {schema.name for schema in declared.schemas}


def _extra_tables(catalog: Catalog, declared: Catalog) -> Iterator[Finding]:
    managed = _schemas(declared)
    names = {(table.schema, table.name) for table in declared.tables}
    for table in catalog.tables:
        if table.schema not in managed or (table.schema, table.name) in names:
            continue
        remedy = "add a migration that creates it IF NOT EXISTS, or drop it"
        if table.name == _BY_ALEMBIC:
            remedy = (
                "the schema is managed by sql/migrations: disable the application's Alembic, or move its changes there"
            )
        yield Finding(f"{_KINDS[table.kind]} {table.schema}.{table.name}", "no migration creates it", remedy)


def _extra_triggers(catalog: Catalog, declared: Catalog) -> Iterator[Finding]:
    tables = {(table.schema, table.name) for table in declared.tables}
    names = {(item.schema, item.table, item.name) for item in declared.triggers}
    for trigger in catalog.triggers:
        if (trigger.schema, trigger.table) in tables and (trigger.schema, trigger.table, trigger.name) not in names:
            drop = f"DROP TRIGGER {trigger.name} ON {trigger.schema}.{trigger.table}"
            remedy = f"add a migration with «{trigger.definition}», or {drop}"
            yield Finding(f"trigger {trigger.schema}.{trigger.table}.{trigger.name}", "no migration creates it", remedy)


def _extra_others(catalog: Catalog, declared: Catalog) -> Iterator[Finding]:
    managed = _schemas(declared)
    functions = {(item.schema, item.name, item.arguments) for item in declared.functions}
    for function in catalog.functions:
        if function.schema in managed and (function.schema, function.name, function.arguments) not in functions:
            subject = f"function {function.schema}.{function.name}({function.arguments})"
            yield Finding(subject, "no migration creates it", "add a migration that creates it, or drop it")
    sequences = {(item.schema, item.name) for item in declared.sequences}
    tables = {f"{table.schema}.{table.name}" for table in declared.tables}
    for sequence in catalog.sequences:
        of_extra_table = sequence.owned_by and sequence.owned_by.rpartition(".")[0] not in tables
        if sequence.schema in managed and (sequence.schema, sequence.name) not in sequences and not of_extra_table:
            subject = f"sequence {sequence.schema}.{sequence.name}"
            yield Finding(subject, "no migration creates it", "add a migration that creates it, or drop it")
    for other in sorted({*catalog.others} ^ {*declared.others}, key=str):
        problem = "no migration creates it" if other in catalog.others else "is missing"
        remedy = "add a migration that creates it" + (", or drop it" if other in catalog.others else " again")
        yield Finding(f"{other.kind} {other.name}", problem, remedy)
    types = {(item.schema, item.name) for item in declared.types}
    for item in catalog.types:
        if item.schema in managed and (item.schema, item.name) not in types:
            yield Finding(
                f"type {item.schema}.{item.name}",
                "no migration creates it",
                "add a migration for it, or drop it",
            )
