"""Versioned SQL files, and the table of those that were applied.

    0001_baseline.sql -> version 1, name "baseline"

A file and its record share one transaction. A first line `-- transaction: none` opts out, for statements that PostgreSQL
refuses inside one; such a file may be interrupted between two statements, so each must be safe to run again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from infra import files
from infra.changes import Change
from infra.errors import MigrationError
from infra.postgres.migration_sql import objections
from infra.postgres.statements import line_and_column

# facts and execution are imported late: in every run the Pulumi program only reads the files.
if TYPE_CHECKING:
    from psycopg.sql import Composable, Composed

    from infra.postgres.execution import FileChange
    from infra.postgres.facts import AppliedMigration, Catalog

RECORD_SCHEMA = "circlepay"
"""A separate schema: ALL ON ALL TABLES IN SCHEMA public must not give the application access to the record."""

_READ = "read the migrations"
_NAME = re.compile(r"([0-9]{4})_([a-z0-9_]{1,200})\.sql")
_LITTER = re.compile(
    r"\..*|.*~|#.*#|.*\.(?:md|swp|swo|bak|orig|rej|tmp)|readme.*|thumbs\.db|desktop\.ini|__pycache__", re.IGNORECASE
)
"""Files that editors, git and desktops leave beside others, and what is written for readers: none is a migration."""
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
    """One file. path: as shown in errors. sha256: of its text, hexadecimal. transactional: False with the opt-out.

    text: with `\\n` at the end of each line, however git has checked it out. objection: why it must not be applied, where
    it has not been yet. former: what may have been recorded for it while the checksum was of the file's bytes.
    """

    version: int
    name: str
    path: str
    text: str
    sha256: str
    transactional: bool = True
    objection: MigrationError | None = field(default=None, compare=False)
    former: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        return f"{self.version:04d}_{self.name}"


def listed(folder: Path) -> list[dict[str, int | str]]:
    """Version, name and sha256 of each file by version. Raises MigrationError as `load` does."""
    return [{"version": item.version, "name": item.name, "sha256": item.sha256} for item in load(folder)]


def load(folder: Path) -> list[Migration]:
    """The migrations of `folder` by version.

    Raises MigrationError for a wrong name, a gap or a duplicate, and for what no server could run.
    """
    return [_parse(version, name, path) for version, name, path in _numbered(folder)]


def _entries(folder: Path) -> list[Path]:
    """What lies in the folder, without litter. Everything else is a migration, or was meant as one."""
    try:
        return sorted(path for path in folder.iterdir() if not _LITTER.fullmatch(path.name))
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise MigrationError(_READ, str(folder), cause, "restore the folder from git") from None


def _numbered(folder: Path) -> list[tuple[int, str, Path]]:
    entries = _entries(folder)
    if not entries:
        raise MigrationError(_READ, str(folder), "there is no .sql file in it", "restore the folder from git")
    found: list[tuple[int, str, Path]] = []
    for path in entries:
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(_READ, str(path), *_not_a_name(path))
        version, expected = int(match[1]), len(found) + 1
        if version < expected:
            cause = (
                f"version {version:04d} is also that of {found[version - 1][2]}"
                if version
                else "versions begin at 0001"
            )
            raise MigrationError(_READ, str(path), cause, f"give the newer file the next version, {len(entries):04d}")
        if version > expected:
            cause = f"version {expected:04d} is missing before it"
            raise MigrationError(_READ, str(path), cause, "restore the missing file, or renumber this one")
        found.append((version, match[2], path))
    return found


def _not_a_name(path: Path) -> tuple[str, str]:
    if path.is_dir():
        return "is a folder, and none is looked into", "move its migrations up, or the folder elsewhere"
    return (
        "its name is not NNNN_lower_case_words.sql",
        "rename it, e.g. 0003_add_a_column.sql, or move it elsewhere: only migrations and *.md may lie here",
    )


def _read(path: Path) -> bytes:
    try:
        return files.read(path, follow=True)
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise MigrationError(_READ, str(path), cause, "restore the file from git") from None


def _parse(version: int, name: str, path: Path) -> Migration:
    content = _read(path)
    text = _text(path, content)
    transactional = not _NO_TRANSACTION.match(text.partition("\n")[0])
    objection = None
    for found in objections(text, transactional=transactional):
        error = _error(path, text, found.offset, found.cause, found.hint)
        if not found.applicable:
            raise error
        objection = objection or error
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Migration(
        version, name, str(path), text, digest, transactional, objection, _former(content, text) - {digest}
    )


def _former(content: bytes, text: str) -> frozenset[str]:
    windows = text.replace("\n", "\r\n")
    saved = (content, *(each.encode(encoding) for each in (text, windows) for encoding in ("utf-8", "utf-8-sig")))
    return frozenset(hashlib.sha256(each).hexdigest() for each in saved)


def _text(path: Path, content: bytes) -> str:
    """Without what says how a file is saved and is no SQL: a byte-order mark at its beginning, CR at the end of lines."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MigrationError(_READ, f"{path}:{line}", f"is not UTF-8: {error.reason}", "save it as UTF-8") from None
    if "\0" in text:
        raise _error(path, text, text.index("\0"), "here is a NUL character, which no SQL can hold", "save it as UTF-8")
    return text.replace("\r\n", "\n")


def _error(path: Path, text: str, offset: int, cause: str, hint: str) -> MigrationError:
    line, column = line_and_column(text, offset)
    return MigrationError(_READ, f"{path}:{line}:{column}", cause, hint)


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
        if record.sha256 not in {migration.sha256, *migration.former} or migration.name != record.name:
            raise MigrationError(
                "check the migrations",
                migration.path,
                f"was edited or renamed after it had been applied as {label}",
                "restore the file from git, and put the change into a new migration",
            )


def pending(catalog: Catalog, declared: Sequence[Migration]) -> list[Migration]:
    """The migrations not applied yet, oldest first. Raises MigrationError as `check` does, and for an objection to one."""
    check(catalog.migrations, declared)
    waiting = list(declared[len(catalog.migrations) :])
    refuse(waiting)
    return waiting


def refuse(waiting: Sequence[Migration]) -> None:
    """Raises the MigrationError of the first of these to which there is an objection."""
    for migration in waiting:
        if migration.objection is not None:
            raise migration.objection


def plan(catalog: Catalog, declared: Sequence[Migration], owner: str = "") -> list[Change]:
    """The record table, if it is missing, and every pending migration. Pure. Raises MigrationError as `pending` does.

    owner: who runs the migrations; empty in a replay, which meets nobody's objects.
    """
    waiting = pending(catalog, declared)
    changes: list[Change] = [] if catalog.recorded else [record_table()]
    changes += [
        _record_again(declared[record.version - 1]) for record in catalog.migrations if _is_former(record, declared)
    ]
    return changes + [_apply(migration, owner) for migration in waiting]


def _is_former(record: AppliedMigration, declared: Sequence[Migration]) -> bool:
    return record.sha256 != declared[record.version - 1].sha256


def _record_again(migration: Migration) -> Change:
    from psycopg.sql import SQL, Literal

    return Change(
        subject=f"migration {migration.label}",
        action="set",
        reason="its checksum was recorded from a checkout with other line ends",
        statement=SQL("UPDATE circlepay.migrations SET sha256 = {} WHERE version = {}").format(
            Literal(migration.sha256), Literal(migration.version)
        ),
    )


def record_table() -> Change:
    from infra.postgres.execution import raw

    return Change(
        subject=f"table {RECORD_SCHEMA}.migrations",
        action="create",
        reason="records which migrations were applied",
        statement=raw(_RECORD_TABLE),
    )


def _apply(migration: Migration, owner: str) -> FileChange:
    from infra.postgres.execution import FileChange, joined, raw

    return FileChange(
        subject=f"migration {migration.label}",
        action="apply",
        reason="has not been applied",
        lock="ACCESS EXCLUSIVE on the tables it alters" if migration.transactional else "depends on its statements",
        reversible=False,
        statement=joined([raw(migration.text), _record(migration)]),
        transactional=migration.transactional,
        role=owner,
        admit=_may_record(owner, "GRANT", "TO"),
        dismiss=_may_record(owner, "REVOKE", "FROM"),
        path=migration.path,
        text=migration.text,
    )


def _may_record(owner: str, verb: str, preposition: str) -> tuple[Composed, ...]:
    """File and record share a transaction, and so a role; beyond it the record is the superuser's alone."""
    from psycopg.sql import SQL, Identifier

    rights = ("USAGE ON SCHEMA circlepay", "INSERT ON TABLE circlepay.migrations") if owner else ()
    return tuple(SQL(f"{verb} {right} {preposition} {{}}").format(Identifier(owner)) for right in rights)


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
