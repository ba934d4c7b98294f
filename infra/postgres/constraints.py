"""Restores constraints without reading rows under a lock that blocks the application.

PRIMARY KEY and UNIQUE: the index is built first (CONCURRENTLY on a large table), then it becomes the constraint.
FOREIGN KEY and CHECK: NOT VALID, which holds for new rows at once, then VALIDATE, which reads the old ones while
writers go on.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.changes import Change, Finding
from infra.postgres.execution import raw
from infra.postgres.facts import Catalog, Constraint, Index, Table
from infra.postgres.indexes import SMALL_TABLE, concurrently

_KINDS = {"p": "primary key", "u": "unique constraint", "f": "foreign key", "c": "check", "x": "exclusion constraint"}
_BY_INDEX = frozenset("pux")


def plan(catalog: Catalog, declared: Catalog) -> list[Change]:
    """Repairs of missing, changed and unvalidated constraints on existing tables and columns; keys before the foreign
    keys that reference them. Pure.
    """
    tables = {(table.schema, table.name): table for table in catalog.tables}
    names = {f"{table.schema}.{table.name}" for table in catalog.tables}
    columns = {(column.schema, column.table, column.name) for column in catalog.columns}
    observed = {(item.schema, item.table, item.name): item for item in catalog.constraints}
    standing = {(index.schema, index.name): index for index in catalog.indexes}
    built = {(index.schema, index.name): index for index in declared.indexes}
    changes: list[Change] = []
    for item in sorted(declared.constraints, key=lambda item: item.kind not in _BY_INDEX):
        table = tables.get((item.schema, item.table))
        if table is None or any((item.schema, item.table, column) not in columns for column in item.columns):
            continue
        if item.inherited or (item.references and item.references not in names):
            continue
        found = observed.get((item.schema, item.table, item.name))
        if item.kind in _BY_INDEX:
            changes += _key(item, found, table, standing, built)
        else:
            changes += _rule(item, found, partitioned=table.kind == "p")
    return changes


def _same(found: Constraint, item: Constraint) -> bool:
    return (found.kind, found.definition.removesuffix(" NOT VALID")) == (
        item.kind,
        item.definition.removesuffix(" NOT VALID"),
    )


def _key(
    item: Constraint,
    found: Constraint | None,
    table: Table,
    standing: Mapping[tuple[str, str], Index],
    built: Mapping[tuple[str, str], Index],
) -> list[Change]:
    index = built.get((item.schema, item.name))
    left = standing.get((item.schema, item.name))
    if found is not None:
        if _same(found, item):
            return []
        reason = f"is «{found.definition}», declared «{item.definition}»"
        if item.kind == "x" or index is None or table.bytes <= SMALL_TABLE:
            return [_alter(item, "alter", reason, "DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition}")]
        # Its index goes with it; an interrupted run goes on with a missing key.
        return [_alter(item, "drop", reason, "DROP CONSTRAINT {name}", transactional=False), *_from_index(item, index)]
    if item.kind == "x" or index is None or (left is None and table.bytes <= SMALL_TABLE):
        return [_alter(item, "create", "is missing", "ADD CONSTRAINT {name} {definition}")]
    changes: list[Change] = []
    if left is not None and (not left.valid or left.definition != index.definition):
        changes.append(_drop_index(item, left))
        left = None
    return [*changes, *_from_index(item, index, build=left is None)]


def _from_index(item: Constraint, index: Index, *, build: bool = True) -> list[Change]:
    words = "PRIMARY KEY" if item.kind == "p" else "UNIQUE"
    template = "ADD CONSTRAINT {name} " + words + " USING INDEX {name}"
    made = _alter(item, "create", "is missing", template, transactional=False)
    return [_build(item, index), made] if build else [made]


def _drop_index(item: Constraint, left: Index) -> Change:
    from psycopg.sql import SQL, Identifier

    return Change(
        subject=f"index {left.schema}.{left.name}",
        action="drop",
        reason="was left behind by an interrupted run",
        lock=f"SHARE UPDATE EXCLUSIVE on {item.schema}.{item.table}",
        statement=SQL("DROP INDEX CONCURRENTLY {}").format(Identifier(left.schema, left.name)),
        transactional=False,
    )


def _build(item: Constraint, index: Index) -> Change:
    return Change(
        subject=f"index {index.schema}.{index.name}",
        action="create",
        reason=f"{_KINDS[item.kind]} {item.name} is missing",
        lock=f"SHARE UPDATE EXCLUSIVE on {item.schema}.{item.table}",
        statement=raw(concurrently(index.definition)),
        transactional=False,
    )


def _rule(item: Constraint, found: Constraint | None, *, partitioned: bool) -> list[Change]:
    # PostgreSQL takes no foreign key of a partitioned table NOT VALID, before 18.
    words = "" if partitioned and item.kind == "f" else " NOT VALID"
    validated = _validated(item) if words else []
    if found is None:
        return [*_add(item, "create", "is missing", f"ADD CONSTRAINT {{name}} {{definition}}{words}"), *validated]
    if not _same(found, item):
        reason = f"is «{found.definition}», declared «{item.definition}»"
        template = f"DROP CONSTRAINT {{name}}, ADD CONSTRAINT {{name}} {{definition}}{words}"
        return [*_add(item, "alter", reason, template), *validated]
    return _validated(item) if item.validated and not found.validated else []


def _add(item: Constraint, action: str, reason: str, template: str) -> list[Change]:
    # Not in the transaction of the other repairs: its lock, also on the referenced table, ends before existing rows are
    # read.
    return [_alter(item, action, reason, template, transactional=False)]


def _validated(item: Constraint) -> list[Change]:
    if not item.validated:
        return []
    return [
        _alter(
            item,
            "validate",
            "existing rows have not been checked against it",
            "VALIDATE CONSTRAINT {name}",
            lock=f"SHARE UPDATE EXCLUSIVE on {item.schema}.{item.table}",
            transactional=False,
        )
    ]


def _alter(
    item: Constraint, action: str, reason: str, template: str, *, lock: str = "", transactional: bool = True
) -> Change:
    from psycopg.sql import SQL, Identifier

    # Braces in the definition would be read as placeholders, so it is inserted as a separate part.
    words = raw("ALTER TABLE {table} " + template)
    statement = SQL("{}").format(
        words.format(
            table=Identifier(item.schema, item.table),
            name=Identifier(item.name),
            definition=raw(item.definition.removesuffix(" NOT VALID")),
        )
    )
    strongest = "SHARE ROW EXCLUSIVE" if item.kind == "f" and action == "create" else "ACCESS EXCLUSIVE"
    also = f" and {item.references}" if item.references else ""
    return Change(
        subject=f"{_KINDS[item.kind]} {item.schema}.{item.table}.{item.name}",
        action=action,
        reason=reason,
        lock=lock or f"{strongest} on {item.schema}.{item.table}{also}",
        statement=statement,
        transactional=transactional,
    )


def findings(catalog: Catalog, declared: Catalog) -> list[Finding]:
    """Constraints that no migration creates."""
    declared_tables = {(table.schema, table.name) for table in declared.tables}
    known = {(item.schema, item.table, item.name) for item in declared.constraints}
    found = []
    for item in catalog.constraints:
        if (item.schema, item.table) in declared_tables and (item.schema, item.table, item.name) not in known:
            subject = f"{_KINDS[item.kind]} {item.schema}.{item.table}.{item.name}"
            drop = f"ALTER TABLE {item.schema}.{item.table} DROP CONSTRAINT {item.name}"
            remedy = f"add a migration: either {drop}, or ADD CONSTRAINT {item.name} {item.definition}"
            found.append(Finding(subject, f"no migration creates it: {item.definition}", remedy))
    return found
