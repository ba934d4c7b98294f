"""Runs changes on a PostgreSQL server: in one transaction where that is possible, interruptible, never half applied.

Locks are waited for in short tries (see `patience`): a transaction that waits in vain is rolled back, and begun again.

Statements that may run in a transaction are sent as one query, so a hundred of them cost one round trip. When the query
fails, everything is rolled back; it is then run again statement by statement in a transaction that is always rolled
back, only to find out which statement failed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, NoReturn

from infra.changes import Change, Finding
from infra.errors import CatalogError, CirclePayError, MigrationError
from infra.postgres.connection import beside
from infra.postgres.patience import CONCURRENTLY, patiently
from infra.postgres.statements import Statement, line_and_column, split

if TYPE_CHECKING:
    from psycopg import Connection, Error
    from psycopg.sql import SQL, Composable, Composed


@dataclass(frozen=True)
class FileChange(Change):
    """A change whose statements come from a file, so that an error can name file, line and column.

    path: the file as shown in errors. text: its content; `statement` may add to it, but only at the end. role: who runs it, in
    a session of its own; empty for the superuser. admit, dismiss: what the superuser does before and after.
    """

    path: str = ""
    text: str = ""
    role: str = ""
    admit: tuple[Composed, ...] = ()
    dismiss: tuple[Composed, ...] = ()


TOLERATED = ("23", "42", "2BP01", "0A000", "55000", "55006")
"""SQLSTATE classes and codes for which a failed repair is reported instead of stopping the rest: rows that violate a
constraint, a missing column, dependent objects. Not among them: lock timeouts, cancellation, a full disk."""


def raw(text: str) -> SQL:
    """SQL from a file or from the server's own catalog, to be sent as it is."""
    from psycopg.sql import SQL

    return SQL(text)


def joined(parts: Sequence[Composable]) -> Composable:
    """Statements one after the other, with a newline before each semicolon: the text before it may end in a comment."""
    from psycopg.sql import SQL

    return SQL("\n;\n").join(parts)


def run(connection: Connection, changes: Sequence[Change], *, cancelled: threading.Event, wait: float = 10.0) -> None:
    """Runs all of `changes` in order. Consecutive transactional changes share one transaction.

    A file has a transaction and a session of its own: what it sets, locks or prepares is gone when the next one begins, and
    it can be no one but its role. connection: the superuser's. wait: seconds until a lock that another session holds is an
    error. Raises MigrationError (with file:line:column) or CatalogError; the failed statement's transaction is rolled back.
    """
    for group in _groups(changes):
        _stop_if(cancelled)
        with (
            _own_session(connection, group[0]) as own,
            _interrupted_by(cancelled, own),
            _observed_by(connection),
        ):
            if group[0].transactional:
                _run_together(own, group, cancelled, wait)
            else:
                _run_alone(own, group[0], cancelled, wait)


@contextmanager
def _own_session(connection: Connection, change: Change) -> Iterator[Connection]:
    """The session for a change: a file's own, in which its role may record it for as long as that lasts."""
    if not isinstance(change, FileChange):
        yield connection
        return
    with beside(connection, change.role) as own:
        for statement in change.admit:
            connection.execute(statement)
        try:
            yield own
        finally:
            for statement in () if connection.closed or connection.broken else change.dismiss:
                connection.execute(statement)


_OBSERVER: ContextVar[Connection | None] = ContextVar("observer", default=None)
"""The superuser's session, which is asked who holds a lock: only the superuser is shown what others do."""


@contextmanager
def _observed_by(observer: Connection) -> Iterator[None]:
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        _OBSERVER.reset(token)


def repair(
    connection: Connection,
    changes: Sequence[Change],
    *,
    cancelled: threading.Event,
    wait: float = 10.0,
    observer: Connection | None = None,
) -> tuple[list[Change], list[Finding]]:
    """Runs changes, where one that fails does not stop the others; returns the changes done and a finding per failure.

    Transactional changes of one object share a transaction, so that no lock is held while another is waited for; the
    others follow. observer: the superuser's session where this is another's. wait: see `run`; once it has passed, each of the
    others is tried once, and the error comes last. Raises CatalogError for failures that do not concern the object itself (see
    TOLERATED).
    """
    import psycopg

    done: list[Change] = []
    refused: list[Finding] = []
    locked: CirclePayError | None = None
    with _interrupted_by(cancelled, connection), _observed_by(observer or connection):
        for group in _by_object(changes):
            _stop_if(cancelled)
            try:
                if group[0].transactional:
                    _send_transaction(connection, [_text(connection, change) for change in group], cancelled, wait)
                else:
                    _run_statements(connection, _text(connection, group[0]), cancelled, wait)
            except psycopg.errors.LockNotAvailable as error:
                locked, wait = locked or _failure(connection, group[-1], error), 0
            except psycopg.Error as error:
                if not (error.sqlstate or "").startswith(TOLERATED):
                    _fail(connection, group[-1], error)
                refused.append(_refusal(group[-1], error))
            else:
                done += group
    if locked is not None:
        raise locked
    return done, refused


def _by_object(changes: Sequence[Change]) -> Iterator[list[Change]]:
    together = [change for change in changes if change.transactional]
    for _, group in groupby(together, key=lambda change: change.subject):
        yield list(group)
    yield from ([change] for change in changes if not change.transactional)


def _send_transaction(connection: Connection, texts: Sequence[str], cancelled: threading.Event, wait: float) -> None:
    import psycopg

    text = "BEGIN;\n" + "\n;\n".join(texts) + "\n;\nCOMMIT"

    def attempt() -> None:
        _stop_if(cancelled)
        try:
            _send(connection, text)
        except psycopg.Error:
            _rollback(connection)
            raise

    patiently(attempt, seconds=wait, cancelled=cancelled)


def _refusal(change: Change, error: Error) -> Finding:
    detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
    return Finding(
        subject=change.subject,
        problem=f"{change.reason}; {change.action} failed: {error.diag.message_primary}{detail}",
        remedy="correct the rows or objects concerned, then run `up` again",
    )


def _groups(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """What shares a transaction."""
    group: list[Change] = []
    for change in changes:
        if change.statement is None:
            continue
        if change.transactional and not isinstance(change, FileChange):
            group.append(change)
            continue
        if group:
            yield group
            group = []
        yield [change]
    if group:
        yield group


def _run_together(connection: Connection, changes: Sequence[Change], cancelled: threading.Event, wait: float) -> None:
    import psycopg

    texts = [_text(connection, change) for change in changes]
    try:
        _send_transaction(connection, texts, cancelled, wait)
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if connection.closed or connection.broken or state.startswith(("57", "08")):
            _fail(connection, changes[0], error)
        _trace(connection, changes, texts)
        _fail(connection, changes[-1], error)


def _run_alone(connection: Connection, change: Change, cancelled: threading.Event, wait: float) -> None:
    import psycopg

    try:
        _run_statements(connection, _text(connection, change), cancelled, wait)
    except psycopg.Error as error:
        _fail(connection, change, error, _Location.of(change, error, None))


def _run_statements(connection: Connection, text: str, cancelled: threading.Event, wait: float) -> None:
    """One statement at a time: several sent together would share an implicit transaction."""
    import psycopg

    for statement in split(text):
        _stop_if(cancelled)
        try:
            if "concurrently" in statement.words and "lock_timeout" not in text:
                _send_concurrently(connection, statement.text)
            else:
                patiently(partial(_send, connection, statement.text), seconds=wait, cancelled=cancelled)
        except psycopg.Error as error:
            error.add_note(f"offset {statement.offset}")
            raise


def _send_concurrently(connection: Connection, text: str) -> None:
    """Waiting, it has nobody's queue behind it; giving up, it leaves an invalid index: so it has a longer time of its own."""
    connection.execute(f"SET lock_timeout = {round(CONCURRENTLY * 1000)}".encode())
    try:
        _send(connection, text)
    finally:
        if not connection.closed and not connection.broken:
            connection.execute("RESET lock_timeout")


def _trace(connection: Connection, changes: Sequence[Change], texts: Sequence[str]) -> None:
    """Raises the error of the statement that fails; returns when none fails any more. Everything is rolled back."""
    import psycopg

    connection.execute("BEGIN")
    try:
        for change, text in zip(changes, texts, strict=True):
            for statement in split(text):
                try:
                    _send(connection, statement.text)
                except psycopg.Error as error:
                    _fail(connection, change, error, _Location.of(change, error, statement))
    finally:
        _rollback(connection)


@dataclass(frozen=True)
class _Location:
    """Where in a change's file an error is: offset in characters from 0."""

    change: FileChange
    offset: int

    @classmethod
    def of(cls, change: Change, error: Error, statement: Statement | None) -> _Location | None:
        if not isinstance(change, FileChange):
            return None
        notes = [note for note in getattr(error, "__notes__", ()) if note.startswith("offset ")]
        start = statement.offset if statement else int(notes[0].removeprefix("offset ")) if notes else 0
        # The server counts characters from 1, and not every error has a position; else the statement's beginning is
        # used.
        within = int(error.diag.statement_position or 1) - 1
        return cls(change, min(start + within, len(change.text)))

    def __str__(self) -> str:
        line, column = line_and_column(self.change.text, self.offset)
        return f"{self.change.path}:{line}:{column}"


def _fail(connection: Connection, change: Change, error: Error, location: _Location | None = None) -> NoReturn:
    raise _failure(connection, change, error, location) from None


def _failure(connection: Connection, change: Change, error: Error, location: _Location | None = None) -> CirclePayError:
    kind: type[CirclePayError] = MigrationError if isinstance(change, FileChange) else CatalogError
    path = str(location) if location else change.path if isinstance(change, FileChange) else change.subject
    cause = error.diag.message_primary or str(error).splitlines()[0]
    detail = f": {error.diag.message_detail}" if error.diag.message_detail else ""
    return kind(f"{change.action} {change.subject}", path, f"{cause}{detail}", _hint(connection, change, error))


def _hint(connection: Connection, change: Change, error: Error) -> str:
    state = error.sqlstate or ""
    if state == "42501" and isinstance(change, FileChange):
        return (
            f"migrations are run by {change.role}, who is no superuser; do what needs one in `circlepay psql`, such as "
            "CREATE EXTENSION for one that PostgreSQL does not trust, and write IF NOT EXISTS in the migration"
        )
    if state == "55P03":
        return (
            f"another session holds the lock ({_open_transactions(connection)}); end it or raise postgres.lockTimeout"
        )
    if state == "57014":
        return "it was cancelled, or ran longer than postgres.statementTimeout; run again"
    if not state or state.startswith(("08", "57P")):
        return "the connection to the server was lost and unfinished work was rolled back; run again"
    return error.diag.message_hint or "its transaction was rolled back; correct it and run again"


def _open_transactions(connection: Connection) -> str:
    observer = _OBSERVER.get() or connection
    if any(each.closed or each.broken for each in (connection, observer)):
        return "unknown"
    _rollback(connection)
    row = observer.execute(
        """
        SELECT string_agg(format('session %%s, %%s, in a transaction since %%s', pid,
                                 coalesce(nullif(application_name, ''), usename),
                                 to_char(xact_start, 'HH24:MI:SS')), '; ')
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), %s) AND xact_start IS NOT NULL
        """,
        (connection.info.backend_pid,),
    ).fetchone()
    return str(row[0]) if row and row[0] else "it has ended in the meantime"


def _text(connection: Connection, change: Change) -> str:
    assert change.statement is not None  # noqa: S101
    return change.statement.as_string(connection)


def _send(connection: Connection, text: str) -> None:
    connection.execute(text.encode())


def _rollback(connection: Connection) -> None:
    if not connection.closed and not connection.broken:
        connection.execute("ROLLBACK")


def _stop_if(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise CatalogError(
            "change the database", "postgres", "the run was cancelled", "run again; it continues where it stopped"
        )


@contextmanager
def _interrupted_by(cancelled: threading.Event, connection: Connection) -> Iterator[None]:
    """Lets `cancelled` interrupt the statement that is running, from a thread that ends with this block."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            if cancelled.is_set():
                connection.cancel_safe(timeout=5)
                return

    thread = threading.Thread(target=watch, name="postgres-cancel", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
