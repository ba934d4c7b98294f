"""Versioned SQL files, and the table of those that were applied.

    0001_baseline.sql -> version 1, name "baseline"

A file and its record share one transaction. A first line `-- transaction: none` opts out, for statements that PostgreSQL
refuses inside one; such a file may be interrupted between two statements, so each must be safe to run again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra import files
from infra.changes import Change
from infra.errors import MigrationError

# facts, execution and statements are imported late: in every run the Pulumi program only lists the files.
if TYPE_CHECKING:
    from psycopg.sql import Composable

    from infra.postgres.execution import FileChange
    from infra.postgres.facts import AppliedMigration, Catalog

RECORD_SCHEMA = "circlepay"
"""A separate schema: ALL ON ALL TABLES IN SCHEMA public must not give the application access to the record."""

_NAME = re.compile(r"(\d{4})_([a-z0-9_]{1,200})\.sql")
_NO_TRANSACTION = re.compile(r"--\s*transaction:\s*none\s*$", re.IGNORECASE)

_RECORD_TABLE = """\
CREATE SCHEMA IF NOT EXISTS circlepay;
CREATE TABLE IF NOT EXISTS circlepay.migrations (
    version integer PRIMARY KEY,
    name varchar(200) NOT NULL,
    sha256 varchar(64) NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration interval,
    applied_by name NOT NULL DEFAULT session_user
)"""


@dataclass(frozen=True)
class Migration:
    """One file. path: as shown in errors. sha256: of its bytes, hexadecimal. transactional: False with the opt-out."""

    version: int
    name: str
    path: str
    text: str
    sha256: str
    transactional: bool = True

    @property
    def label(self) -> str:
        return f"{self.version:04d}_{self.name}"


def listed(folder: Path) -> list[dict[str, int | str]]:
    """Version, name and sha256 of each file by version; the SQL is not parsed.

    Raises MigrationError for a wrong name, a gap or a duplicate.
    """
    return [
        {"version": version, "name": name, "sha256": hashlib.sha256(_read(path)).hexdigest()}
        for version, name, path in _numbered(folder)
    ]


def load(folder: Path) -> list[Migration]:
    """The migrations of `folder` by version. Raises MigrationError as `listed` does, and for unfinished SQL."""
    return [_parse(version, name, path) for version, name, path in _numbered(folder)]


def _numbered(folder: Path) -> list[tuple[int, str, Path]]:
    operation = "read the migrations"
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise MigrationError(operation, str(folder), "there is no .sql file in it", "restore the folder from git")
    found: list[tuple[int, str, Path]] = []
    for expected, path in enumerate(files, start=1):
        match = _NAME.fullmatch(path.name)
        if match is None:
            cause, hint = "its name is not NNNN_lower_case_words.sql", "rename it, e.g. 0003_add_a_column.sql"
            raise MigrationError(operation, str(path), cause, hint)
        version = int(match[1])
        if version < expected:
            cause = f"version {version:04d} is also that of {found[version - 1][2]}"
            raise MigrationError(operation, str(path), cause, f"give the newer file the next version, {len(files):04d}")
        if version > expected:
            cause = f"version {expected:04d} is missing before it"
            raise MigrationError(operation, str(path), cause, "restore the missing file, or renumber this one")
        found.append((version, match[2], path))
    return found


def _read(path: Path) -> bytes:
    try:
        return files.read(path, follow=True)
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise MigrationError("read the migrations", str(path), cause, "restore the file from git") from None


def _parse(version: int, name: str, path: Path) -> Migration:
    from infra.postgres.statements import UnfinishedSqlError, line_and_column, split

    content = _read(path)
    try:
        text = content.decode("utf-8")
        statements = split(text)
    except UnicodeDecodeError as error:
        raise MigrationError(
            "read the migrations", str(path), f"is not UTF-8: {error.reason}", "save it as UTF-8"
        ) from None
    except UnfinishedSqlError as error:
        line, column = line_and_column(text, error.offset)
        raise MigrationError("read the migrations", f"{path}:{line}:{column}", str(error), "close it") from None
    transactional = not _NO_TRANSACTION.match(text.splitlines()[0] if text else "")
    for statement in statements:
        if transactional and statement.controls_transaction:
            line, column = line_and_column(text, statement.offset)
            raise MigrationError(
                "read the migrations",
                f"{path}:{line}:{column}",
                f"{statement.text.split()[0].upper()} would end the transaction that the file shares with its record",
                "remove it, or begin the file with `-- transaction: none`",
            )
    digest = hashlib.sha256(content).hexdigest()
    return Migration(version, name, str(path), text, digest, transactional)


def digest(migrations: Sequence[Migration]) -> str:
    """One checksum of all migrations, hexadecimal: changes when any content, name or the order does."""
    lines = "".join(f"{migration.label} {migration.sha256}\n" for migration in migrations)
    return hashlib.sha256(lines.encode()).hexdigest()


def check(applied: Sequence[AppliedMigration], declared: Sequence[Migration]) -> None:
    """Raises MigrationError when an applied file was edited, renamed or removed, or the record has a gap."""
    by_version = {migration.version: migration for migration in declared}
    for expected, record in enumerate(applied, start=1):
        migration = by_version.get(record.version)
        label = f"{record.version:04d}_{record.name}"
        if migration is None:
            raise MigrationError(
                "check the migrations",
                f"{label}.sql",
                "was applied to this database, but the file does not exist here",
                "use the version of this project that has it; never remove an applied file",
            )
        if record.version != expected:
            raise MigrationError(
                "check the migrations",
                by_version[expected].path,
                f"was never applied, although the later {label} was",
                "a migration must get a version above every applied one: renumber it",
            )
        if migration.sha256 != record.sha256 or migration.name != record.name:
            raise MigrationError(
                "check the migrations",
                migration.path,
                f"was edited or renamed after it had been applied as {label}",
                "restore the file from git, and put the change into a new migration",
            )


def pending(catalog: Catalog, declared: Sequence[Migration]) -> list[Migration]:
    """The migrations not applied yet, oldest first. Raises MigrationError as `check` does."""
    check(catalog.migrations, declared)
    return list(declared[len(catalog.migrations) :])


def plan(catalog: Catalog, declared: Sequence[Migration]) -> list[Change]:
    """The record table, if it is missing, and every pending migration. Pure. Raises MigrationError as `check` does."""
    waiting = pending(catalog, declared)
    changes: list[Change] = [] if catalog.recorded else [record_table()]
    return changes + [_apply(migration) for migration in waiting]


def record_table() -> Change:
    from infra.postgres.execution import raw

    return Change(
        subject=f"table {RECORD_SCHEMA}.migrations",
        action="create",
        reason="records which migrations were applied",
        statement=raw(_RECORD_TABLE),
    )


def _apply(migration: Migration) -> FileChange:
    from infra.postgres.execution import FileChange, joined, raw

    return FileChange(
        subject=f"migration {migration.label}",
        action="apply",
        reason="has not been applied",
        lock="ACCESS EXCLUSIVE on the tables it alters" if migration.transactional else "depends on its statements",
        reversible=False,
        statement=joined([raw(migration.text), _record(migration)]),
        transactional=migration.transactional,
        path=migration.path,
        text=migration.text,
    )


def _record(migration: Migration, *, adopted: bool = False) -> Composable:
    from psycopg.sql import SQL, Literal

    # The whole file arrives as one message, so the time since its arrival is the duration of the file.
    duration = (
        SQL("NULL") if adopted or not migration.transactional else SQL("clock_timestamp() - statement_timestamp()")
    )
    return SQL("INSERT INTO circlepay.migrations (version, name, sha256, duration) VALUES ({}, {}, {}, {})").format(
        Literal(migration.version), Literal(migration.name), Literal(migration.sha256), duration
    )


def adopt(migrations: Sequence[Migration]) -> list[Change]:
    """Records `migrations` as applied, for a database that was built by hand with the objects they create."""
    return [record_table()] + [
        Change(
            subject=f"migration {migration.label}",
            action="adopt",
            reason="the database already has the objects it creates",
            statement=_record(migration, adopted=True),
        )
        for migration in migrations
    ]
