"""Indexes: those that are missing, invalid or changed, and those that another index makes redundant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from infra import files
from infra.changes import Change, Finding, Severity
from infra.errors import CatalogError
from infra.postgres.execution import raw
from infra.postgres.facts import Catalog, Index, Table
from infra.postgres.statements import split

SMALL_TABLE = 8 * 1024 * 1024
"""Bytes. Up to this size an index is built inside the transaction of the other repairs: it takes milliseconds, and all
of them are applied or none. Above, it is built CONCURRENTLY: outside that transaction, but no writer waits for it."""

_DROP = re.compile(
    r"DROP INDEX CONCURRENTLY IF EXISTS (?P<schema>[a-z_][a-z0-9_]*)\.(?P<name>[a-z_][a-z0-9_]*)", re.IGNORECASE
)


@dataclass(frozen=True)
class Redundant:
    """An index whose every query `covering` can answer as well."""

    index: Index
    covering: Index


@dataclass(frozen=True)
class OptionalDrop:
    """One statement of sql/optional/drop_redundant_indexes.sql."""

    schema: str
    name: str
    statement: str


def read_optional_drops(path: Path) -> tuple[OptionalDrop, ...]:
    """The statements of `path`. Raises CatalogError when one is not DROP INDEX CONCURRENTLY IF EXISTS."""
    drops = []
    for statement in split(files.read_text(path, follow=True)):
        match = _DROP.fullmatch(statement.text)
        if match is None:
            raise CatalogError(
                "read the optional drops",
                str(path),
                f"{statement.text.splitlines()[0]!r} is not DROP INDEX CONCURRENTLY IF EXISTS schema.name",
                "keep one such statement per index in it",
            )
        drops.append(OptionalDrop(match["schema"], match["name"], statement.text))
    return tuple(drops)


def redundant(indexes: Iterable[Index]) -> list[Redundant]:
    """Every index whose keys are the leading keys of another index of the same table. Pure.

    Unique indexes and those of constraints are never redundant: they enforce something. Of two equal indexes the first
    by name is kept.
    """
    usable = [index for index in indexes if index.valid and not index.partial and not index.expressions]
    found: dict[tuple[str, str], Redundant] = {}
    for index in sorted(usable, key=lambda index: (index.schema, index.name), reverse=True):
        if index.unique or index.constraint:
            continue
        for other in sorted(usable, key=lambda other: (not other.unique, len(other.columns), other.name)):
            if (other.schema, other.name) not in found and other is not index and _covers(other, index):
                found[index.schema, index.name] = Redundant(index, other)
                break
    return sorted(found.values(), key=lambda item: (item.index.schema, item.index.table, item.index.name))


def _covers(other: Index, index: Index) -> bool:
    keys = index.key_count
    if (other.schema, other.table, other.method) != (index.schema, index.table, index.method) or keys > other.key_count:
        return False
    same_prefix = (
        other.columns[:keys] == index.columns[:keys]
        and other.orders[:keys] == index.orders[:keys]
        and other.classes[:keys] == index.classes[:keys]
        and other.collations[:keys] == index.collations[:keys]
    )
    return same_prefix and set(index.columns) <= set(other.columns)


def concurrently(definition: str) -> str:
    """A CREATE INDEX statement of pg_get_indexdef with CONCURRENTLY added, so that it blocks no writers."""
    return re.sub(r"^(CREATE (?:UNIQUE )?INDEX) ", r"\1 CONCURRENTLY ", definition)


def on_partitions(definition: str) -> str:
    """A CREATE INDEX statement of pg_get_indexdef with those of the partitions: ON ONLY would leave an invalid index."""
    return re.sub(r"^(CREATE (?:UNIQUE )?INDEX \S+|CREATE (?:UNIQUE )?INDEX \".+\") ON ONLY ", r"\1 ON ", definition)


def plan(catalog: Catalog, declared: Catalog, drops: Collection[OptionalDrop], *, drop_redundant: bool) -> list[Change]:
    """Creates missing indexes on existing columns, rebuilds invalid and changed ones; with drop_redundant also the
    optional drops. Pure.
    """
    unwanted = {(drop.schema, drop.name) for drop in drops} if drop_redundant else set()
    tables = {(table.schema, table.name): table for table in catalog.tables}
    columns = {(column.schema, column.table, column.name) for column in catalog.columns}
    observed = {(index.schema, index.name): index for index in catalog.indexes}
    # Those of partitions come and go with that of their partitioned table.
    missing = {f"{item.schema}.{item.name}" for item in declared.indexes} - {
        f"{item.schema}.{item.name}" for item in catalog.indexes if item.valid
    }
    changes: list[Change] = []
    for index in declared.indexes:
        table = tables.get((index.schema, index.table))
        if table is None or index.constraint or (index.schema, index.name) in unwanted:
            continue
        if index.parent and index.parent in missing:
            continue
        if any(name and (index.schema, index.table, name) not in columns for name in index.columns):
            continue
        found = observed.get((index.schema, index.name))
        if found is None:
            changes.append(_create(index, table, "is missing"))
        elif found.building or found.constraint:
            continue
        elif not found.valid:
            changes += [
                _drop(found, table, "is invalid: building it was interrupted"),
                _create(index, table, "was invalid"),
            ]
        elif found.definition != index.definition:
            reason = f"is «{found.definition}», declared «{index.definition}»"
            changes += [_drop(found, table, reason), _create(index, table, "had another definition")]
    return changes + (_optional(catalog, drops) if drop_redundant else [])


def _optional(catalog: Catalog, drops: Collection[OptionalDrop]) -> list[Change]:
    """Drops only indexes that are redundant in this database: without its covering index, one is still needed."""
    covered = {(item.index.schema, item.index.name): item.covering for item in redundant(catalog.indexes)}
    broken = {(index.schema, index.name) for index in catalog.indexes if not index.valid and not index.building}
    changes = []
    for drop in drops:
        key = (drop.schema, drop.name)
        if key in covered or key in broken:
            reason = f"{covered[key].name} covers it" if key in covered else "is invalid: dropping it was interrupted"
            changes.append(
                Change(
                    subject=f"index {drop.schema}.{drop.name}",
                    action="drop",
                    reason=f"{reason}, and postgres.dropRedundantIndexes is set",
                    lock="SHARE UPDATE EXCLUSIVE on its table",
                    statement=raw(drop.statement),
                    transactional=False,
                )
            )
    return changes


def _create(index: Index, table: Table, reason: str) -> Change:
    small = table.bytes <= SMALL_TABLE
    return Change(
        subject=f"index {index.schema}.{index.name}",
        action="create",
        reason=reason,
        lock=f"{'SHARE' if small else 'SHARE UPDATE EXCLUSIVE'} on {table.schema}.{table.name}",
        statement=raw(on_partitions(index.definition) if small else concurrently(index.definition)),
        transactional=small,
    )


def _drop(index: Index, table: Table, reason: str) -> Change:
    from psycopg.sql import SQL, Identifier

    small = table.bytes <= SMALL_TABLE
    words = SQL("DROP INDEX {}") if small else SQL("DROP INDEX CONCURRENTLY {}")
    return Change(
        subject=f"index {index.schema}.{index.name}",
        action="drop",
        reason=reason,
        lock=f"{'ACCESS EXCLUSIVE' if small else 'SHARE UPDATE EXCLUSIVE'} on {table.schema}.{table.name}",
        statement=words.format(Identifier(index.schema, index.name)),
        transactional=small,
    )


def findings(catalog: Catalog, declared: Catalog | None) -> list[Finding]:
    """Redundant indexes with their cost, and indexes that no migration creates."""
    covered = redundant(catalog.indexes)
    found = [
        Finding(
            subject=f"index {item.index.schema}.{item.index.name}",
            problem=f"is redundant: {item.covering.name} covers it",
            cost=f"one more index write per row inserted into {item.index.table}, and its size: "
            "`circlepay monitor --query redundant_indexes`",
            remedy="set postgres.dropRedundantIndexes: true, which blocks no writers",
            severity=Severity.NOTE,
        )
        for item in covered
    ]
    if declared is None:
        return found
    known = {(index.schema, index.name) for index in declared.indexes}
    tables = {(table.schema, table.name) for table in declared.tables}
    for index in catalog.indexes:
        if (index.schema, index.table) not in tables or index.constraint:
            continue
        subject = f"index {index.schema}.{index.name}"
        if index.building:
            found.append(Finding(subject, "is being built by another session", "wait for it, then run `up` again"))
        elif (index.schema, index.name) not in known:
            remedy = (
                f"add a migration with «{index.definition}», or DROP INDEX CONCURRENTLY {index.schema}.{index.name}"
            )
            found.append(Finding(subject, f"no migration creates it (on {index.table})", remedy))
    return found
