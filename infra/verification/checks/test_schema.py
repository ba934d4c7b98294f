"""Every object of the document exists exactly as documented, and nothing was added to its tables."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from pathlib import Path
from typing import Any

import pytest

from infra import files
from infra.postgres import schema, structure
from infra.verification.checks import own_migrations as own
from infra.verification.checks.expectation import MismatchError, expect
from infra.verification.checks.expected import (
    CONSTRAINTS,
    FUNCTION,
    FUNCTION_BODY,
    INDEXES,
    SEQUENCES,
    TABLES,
    TRIGGERS,
    Column,
)
from infra.verification.checks.observations import Connection
from infra.verification.subject import Subject

RECREATED_BY_UP = "run `make up` on this stack: it creates it again"
MIGRATION_NEEDED = "write a migration in sql/migrations that corrects it; `up` never rewrites or drops data by itself"
TABLE_LOST = (
    "restore it from a backup, or create it again, empty: `circlepay findings` shows the statement. Its columns, indexes"
    " and privileges were not checked"
)
MIGRATIONS = Path(__file__).resolve().parents[3] / "sql" / "migrations"
COLUMNS = {f"{table}.{column.name}": column for table, columns in TABLES.items() for column in columns}
NAMED_CONSTRAINTS = {f"{table}.{name}": text for table, named in CONSTRAINTS.items() for name, text in named.items()}
NAMED_TRIGGERS = {f"{table}.{name}": definition for name, (table, definition) in TRIGGERS.items()}
DOCUMENTED: dict[str, Container[str]] = {
    "columns": COLUMNS,
    "constraints": NAMED_CONSTRAINTS,
    "triggers": NAMED_TRIGGERS,
}

Catalog = dict[str, Any]


def found(objects: dict[str, Any] | None, name: str, remedy: str = RECREATED_BY_UP, *, structural: bool = False) -> Any:
    """The object of that name. Raises MismatchError when there is none."""
    if not objects or name not in objects:
        raise MismatchError(f"{name} exists", "it does not", remedy, structural)
    return objects[name]


@pytest.mark.parametrize("table", TABLES)
def test_table(catalog: Catalog, declared: own.Catalog | None, subject: Subject, table: str) -> None:
    observed = found(catalog["tables"], table, TABLE_LOST, structural=True)
    # An unlogged table is emptied by a crash.
    expect((observed["relkind"], observed["relpersistence"]), ("r", "p"), MIGRATION_NEEDED, structural=True)
    expect(observed["owner"], subject.postgres.owner)
    wanted = next((each.row_security for each in own.of_public(declared, "tables") if each.name == table), False)
    expect(observed["relrowsecurity"], wanted)


@pytest.mark.parametrize("name", COLUMNS)
def test_column(catalog: Catalog, declared: own.Catalog | None, name: str) -> None:
    wanted: Column = own.column(declared, name, COLUMNS[name])
    observed = found(catalog["columns"], name, MIGRATION_NEEDED, structural=True)
    expect(observed["type"], wanted.type, MIGRATION_NEEDED, structural=True)
    expect(observed["nullable"], wanted.nullable)
    expect(observed["default"], wanted.default)


@pytest.mark.parametrize("name", NAMED_CONSTRAINTS)
def test_constraint(catalog: Catalog, declared: own.Catalog | None, name: str) -> None:
    wanted = own.definition(declared, "constraints", name, NAMED_CONSTRAINTS[name])
    expect(found(catalog["constraints"], name), wanted)


@pytest.mark.parametrize("name", INDEXES)
def test_index(catalog: Catalog, declared: own.Catalog | None, subject: Subject, name: str) -> None:
    documented = INDEXES[name]
    if documented.redundant and subject.postgres.redundant_indexes_dropped:
        expect(name in catalog["indexes"], False, "the stack asks for redundant indexes to be dropped: run `make up`")
        return
    observed = found(catalog["indexes"], name)
    expect(observed["definition"], own.definition(declared, "indexes", name, documented.definition(name)))
    expect(observed["usable"], True, f"REINDEX INDEX CONCURRENTLY {name}, or run `make up`")


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequence(catalog: Catalog, name: str) -> None:
    observed = found(catalog["sequences"], name)
    # The documented SERIAL is an integer; a sequence of another type would outgrow its column unnoticed.
    expect((observed["type"], observed["increment"]), ("integer", 1))
    expect(f"public.{observed['owned_by']}", SEQUENCES[name])


def test_function(catalog: Catalog, subject: Subject) -> None:
    observed = found(catalog["functions"], FUNCTION)
    expect(" ".join(observed["body"].split()), FUNCTION_BODY)
    expect((observed["language"], observed["returns"], observed["arguments"]), ("plpgsql", "trigger", 0))
    expect((observed["security_definer"], observed["settings"]), (False, None))
    expect(observed["owner"], subject.postgres.owner)


@pytest.mark.parametrize("name", NAMED_TRIGGERS)
def test_trigger(catalog: Catalog, declared: own.Catalog | None, name: str) -> None:
    wanted = own.definition(declared, "triggers", name, NAMED_TRIGGERS[name])
    observed = found(catalog["triggers"], name)
    expect(observed["definition"], wanted)
    expect(observed["enabled"], "O", "the trigger does not fire for the application: run `make up`")


def test_foreign_keys_enforced(catalog: Catalog) -> None:
    expect(catalog["unenforced_foreign_keys"], [], "ALTER TABLE ... ENABLE TRIGGER ALL, then look for orphaned rows")


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_nothing_added_to(catalog: Catalog, declared: own.Catalog | None, kind: str) -> None:
    added = [name for name in catalog[kind] or {} if name not in DOCUMENTED[kind] and name.partition(".")[0] in TABLES]
    expect(sorted({*added} - own.names(declared, kind)), [], MIGRATION_NEEDED, structural=True)


def test_nothing_added_to_indexes(catalog: Catalog, declared: own.Catalog | None) -> None:
    def table_of(definition: str) -> str:
        return definition.partition(" ON public.")[2].partition(" ")[0]

    observed = catalog["indexes"] or {}
    added = [name for name, each in observed.items() if name not in INDEXES and table_of(each["definition"]) in TABLES]
    expect(sorted({*added} - own.names(declared, "indexes")), [], MIGRATION_NEEDED, structural=True)


def test_own_migrations(facts: own.Catalog, declared: own.Catalog | None) -> None:
    """What migrations after the document's have made: the same comparison as that of `up`, which finds nothing to do."""
    if declared is None:
        pytest.skip("no `up` of this clone has kept what the migrations make")
    wanted = own.beyond_the_document(declared)
    expect([f"{each.subject} {each.reason}" for each in schema.plan(facts, schema.SchemaDeclaration(wanted))], [])
    missing = [f"{each.subject} {each.problem}" for each in structure.differences(facts, wanted)]
    expect(missing, [], MIGRATION_NEEDED, structural=True)


def test_migrations_recorded(catalog: Catalog, superuser: Connection) -> None:
    expect(catalog["has_migrations"], True, "run `make up` on this stack: it records what was applied")
    rows = superuser.execute("SELECT name, sha256 FROM circlepay.migrations ORDER BY version").fetchall()
    recorded = [(row["name"], row["sha256"]) for row in rows]
    files = [(path.stem.partition("_")[2], _sha256(path)) for path in sorted(MIGRATIONS.glob("[0-9]*.sql"))]
    expect(recorded, files, "a file was edited or removed after it was applied, or not applied yet: `circlepay status`")


def _sha256(path: Path) -> str:
    """Of its text: a checkout may end lines otherwise, and an editor may have put a byte-order mark first."""
    text = files.read(path, follow=True).removeprefix(b"\xef\xbb\xbf")
    return hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()
