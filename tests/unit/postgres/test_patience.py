"""The application goes on while a change waits for a lock: its statements are measured, on real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.errors import MigrationError
from infra.postgres.catalog import LockedError
from infra.postgres.migrations import Migration, load
from infra.provider.resource_types.schema import Schema
from infra.provider.sessions import forget
from tests.support.live_servers import MIGRATIONS
from tests.support.round_trips import OPERATION
from tests.unit.postgres.conftest import Stage

BOUND = 0.5
"""Seconds that a statement of the application may wait: docs/adr/0014-index-creation-and-locks.md."""
HELD = 1.2
"""Seconds for which a transaction stays open after a SELECT."""

READ = "SELECT count(*) FROM transactions"
WRITE = (
    "INSERT INTO users (email, first_name, last_name, country_code) VALUES (gen_random_uuid()::text, 'x', 'y', 'KR'); "
    "UPDATE transactions SET status = status WHERE id = -1"
)


@dataclass
class Application:
    """Sessions that read and write all the time. longest: seconds of the slowest of their statements."""

    stage: Stage
    over: threading.Event = field(default_factory=threading.Event)
    longest: float = 0.0
    done: int = 0
    failures: list[Exception] = field(default_factory=list)

    def work(self, statement: str) -> None:
        with self.stage.as_application() as connection:
            connection.execute("SET lock_timeout = 0")
            while not self.over.is_set():
                began = time.monotonic()
                try:
                    connection.execute(statement.encode())
                except Exception as error:
                    self.failures.append(error)
                    return
                self.longest = max(self.longest, time.monotonic() - began)
                self.done += 1


@contextmanager
def at_work(stage: Stage, left_open: str = READ) -> Iterator[Application]:
    """Two readers, two writers, and a transaction that stays open for a while after it has read, or something else."""
    application = Application(stage)
    threads = [threading.Thread(target=application.work, args=[statement]) for statement in (READ, WRITE) * 2]
    with stage.as_application() as idle:
        idle.execute("BEGIN")
        idle.execute(left_open.encode())
        release = threading.Timer(HELD, idle.execute, ["COMMIT"])
        for thread in (*threads, release):
            thread.start()
        try:
            yield application
        finally:
            application.over.set()
            for thread in (*threads, release):
                thread.join()


def _judge(application: Application, what: str) -> None:
    print(f"\nlongest wait of {application.done} statements during {what}: {application.longest:.3f} s")
    assert application.failures == []
    assert application.done > 20
    assert application.longest < BOUND


def test_no_statement_of_the_application_waits_long_for_a_repair(stage: Stage) -> None:
    stage.run(
        "ALTER TABLE transactions ALTER COLUMN currency SET DEFAULT 'X'",
        "ALTER TABLE users ALTER COLUMN is_active SET DEFAULT false",
        "DROP INDEX idx_transactions_status",
        "ALTER TABLE users DISABLE TRIGGER ALL",
        "ALTER TABLE transactions DROP CONSTRAINT transactions_user_id_fkey",
    )
    with at_work(stage) as application:
        began = time.monotonic()
        done = stage.apply(lock_timeout=30.0).changes
        assert time.monotonic() - began > HELD / 2, "it has waited"
    _judge(application, "repairs")
    assert len(done) >= 5
    assert stage.plan().changes == ()


def _migration(tmp_path: Path, text: str) -> tuple[Migration, ...]:
    for path in MIGRATIONS.glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "0003_more.sql").write_text(text)
    return tuple(load(tmp_path))


@pytest.mark.parametrize("first", ["", "-- transaction: none\n"])
def test_no_statement_of_the_application_waits_long_for_a_migration(stage: Stage, tmp_path: Path, first: str) -> None:
    text = "ALTER TABLE users ADD COLUMN IF NOT EXISTS x int;\nALTER TABLE transactions ADD COLUMN IF NOT EXISTS x int;"
    with at_work(stage) as application:
        changes = stage.apply(migrations=_migration(tmp_path, first + text), lock_timeout=30.0).changes
    _judge(application, "a migration")
    assert [change.subject for change in changes] == ["migration 0003_more"]


def test_concurrently_waits_longer_than_other_changes(stage: Stage, tmp_path: Path) -> None:
    text = "-- transaction: none\nCREATE INDEX CONCURRENTLY IF NOT EXISTS mine ON transactions (currency);"
    with at_work(stage, "LOCK TABLE transactions IN ROW EXCLUSIVE MODE") as application:
        stage.apply(migrations=_migration(tmp_path, text), lock_timeout=0.3)
    _judge(application, "an index built concurrently")
    assert stage.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'mine'::regclass")


def test_a_lock_that_stays_is_told_with_its_holder_after_the_whole_time(stage: Stage, tmp_path: Path) -> None:
    with stage.connect() as other:
        other.execute("BEGIN; LOCK TABLE users IN ACCESS SHARE MODE")
        began = time.monotonic()
        with pytest.raises(MigrationError, match="lock timeout") as caught:
            stage.apply(migrations=_migration(tmp_path, "ALTER TABLE users ADD COLUMN x int"), lock_timeout=1.5)
        assert 1 < time.monotonic() - began < 5
        assert str(other.info.backend_pid) in caught.value.hint


def test_what_cannot_be_read_is_told_by_name(stage: Stage) -> None:
    with stage.connect() as other:
        other.execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(LockedError, match="table users is locked by session") as caught:
            stage.plan()
        assert str(other.info.backend_pid) in caught.value.cause
        login = stage.login
        connection = {"host": login.endpoint.host, "port": login.endpoint.port, "user": login.user}
        state = {"connection": {**connection, "password": login.password, "database": login.database}}
        forget(login.endpoint.host, login.endpoint.port)
        observed = Schema().observe(state, OPERATION)
        forget(login.endpoint.host, login.endpoint.port)
        assert observed is not None
        assert observed.findings is not None
        assert "table users is locked by session" in observed.findings[0].problem
