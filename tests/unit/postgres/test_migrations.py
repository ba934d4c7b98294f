"""Migration files: names, order, checksums, errors at their place, and one transaction with the record."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import psycopg
import pytest

from infra.errors import CatalogError, MigrationError
from infra.postgres import migrations, objects
from infra.postgres.migrations import Migration, load
from tests.support.live_servers import MIGRATIONS
from tests.unit.postgres.conftest import Stage, mended


def _folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name.removeprefix('v')}.sql").write_text(text, encoding="utf-8")
    return tmp_path


def _with(stage: Stage, tmp_path: Path, *texts: str) -> tuple[Migration, ...]:
    """The project's migrations and these after them."""
    for number, text in enumerate(texts, start=3):
        (tmp_path / f"{number:04d}_more.sql").write_text(text, encoding="utf-8")
    for path in MIGRATIONS.glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tuple(load(tmp_path))


def test_the_projects_files_are_read_in_order() -> None:
    found = load(MIGRATIONS)
    assert [migration.label for migration in found] == ["0001_baseline", "0002_transactions_currency_width"]
    assert found[0].sha256 == hashlib.sha256((MIGRATIONS / "0001_baseline.sql").read_bytes()).hexdigest()
    assert all(migration.transactional for migration in found)


@pytest.mark.parametrize(
    ("files", "path", "cause"),
    [
        ({}, "", "no .sql file"),
        ({"v0001_a": "", "v0003_b": ""}, "0003_b.sql", "version 0002 is missing"),
        ({"v0002_b": ""}, "0002_b.sql", "version 0001 is missing"),
        ({"v0001_a": "", "v0001_b": ""}, "0001_b.sql", "0001 is also that of"),
        ({"v1_a": ""}, "1_a.sql", "its name is not"),
        ({"v0001_A": ""}, "0001_A.sql", "its name is not"),
        ({"v0001_a": "SELECT 1;\n  SELECT 'x"}, "0001_a.sql:2:10", "a string is not closed"),
        ({"v0001_a": "SELECT 1;\nCOMMIT;"}, "0001_a.sql:2:1", "COMMIT would end the transaction"),
    ],
)
def test_a_wrong_folder_is_an_error_that_names_the_file(
    tmp_path: Path, files: dict[str, str], path: str, cause: str
) -> None:
    with pytest.raises(MigrationError) as caught:
        load(_folder(tmp_path, **files))
    assert caught.value.path.endswith(path)
    assert cause in caught.value.cause
    assert caught.value.hint


def test_a_file_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(b"SELECT '\xff'")
    with pytest.raises(MigrationError, match="is not UTF-8"):
        load(tmp_path)


def test_the_checksum_of_all_changes_with_each(tmp_path: Path) -> None:
    before = migrations.digest(load(_folder(tmp_path, v0001_a="SELECT 1", v0002_b="SELECT 2")))
    assert migrations.digest(load(tmp_path)) == before
    assert migrations.digest(load(_folder(tmp_path, v0002_b="SELECT 3"))) != before
    assert migrations.digest(load(tmp_path)[:1]) != before


def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0001_baseline.sql")
    for read in (migrations.listed, migrations.load):
        with pytest.raises(MigrationError, match="is not an ordinary file"):
            read(tmp_path)


def test_an_edited_applied_file_is_an_error_that_names_it(stage: Stage, tmp_path: Path) -> None:
    files = _with(stage, tmp_path)
    (tmp_path / "0002_transactions_currency_width.sql").write_text(files[1].text + "-- edited\n", encoding="utf-8")
    for attempt in (stage.plan, stage.apply):
        with pytest.raises(MigrationError, match="was edited") as caught:
            attempt(migrations=tuple(load(tmp_path)))
        assert caught.value.path.endswith("0002_transactions_currency_width.sql")
        assert "restore" in caught.value.hint


def test_a_removed_applied_file_is_an_error_that_names_it(stage: Stage) -> None:
    with pytest.raises(MigrationError, match="does not exist here") as caught:
        stage.plan(migrations=stage.objects.migrations[:1])
    assert caught.value.path == "0002_transactions_currency_width.sql"


def test_a_file_slipped_in_below_an_applied_one_is_an_error(stage: Stage, tmp_path: Path) -> None:
    files = _with(stage, tmp_path, "SELECT 1", "SELECT 2")
    insert = "INSERT INTO circlepay.migrations (version, name, sha256) VALUES (4, 'more', %s) RETURNING 1"
    stage.ask(insert, files[3].sha256)
    with pytest.raises(MigrationError, match="was never applied") as caught:
        stage.plan(migrations=files)
    assert caught.value.path.endswith("0003_more.sql")


def test_what_was_applied_is_recorded(stage: Stage) -> None:
    with stage.connect() as connection:
        rows = connection.execute(
            "SELECT version, name, sha256, applied_at <= now(), duration > interval '0', applied_by "
            "FROM circlepay.migrations ORDER BY version"
        ).fetchall()
    expected = [(item.version, item.name, item.sha256, True, True, "postgres") for item in stage.objects.migrations]
    assert rows == expected


@pytest.mark.parametrize(
    ("text", "place", "cause"),
    [
        ("SELECT 1;\n\nALTER TABLE users\n    ADD COLUMN x nonsense;\n", "4:18", "does not exist"),
        ("SELECT 1;\nCREATE TABLE x ();\n  CREATE TABLE users ();\n", "3:3", "already exists"),
        ("SELECT 1;\nSELEC 2;\n", "2:1", "syntax error"),
        ("SELECT 'é', '한국어';\nSELECT nothing;\n", "2:8", "does not exist"),
        ("SELECT 1;\nDO $$BEGIN RAISE 'stop'; END$$;\n", "2:1", "stop"),
        ("-- transaction: none\nSELECT 1;\nSELECT nothing;\n", "3:8", "does not exist"),
    ],
)
def test_an_sql_error_names_file_line_and_column_and_leaves_nothing(
    stage: Stage, tmp_path: Path, text: str, place: str, cause: str
) -> None:
    files = _with(stage, tmp_path, text)
    with pytest.raises(MigrationError, match=cause) as caught:
        stage.apply(migrations=files)
    assert caught.value.path.endswith(f"0003_more.sql:{place}")
    assert stage.ask("SELECT max(version) FROM circlepay.migrations") == 2
    assert stage.ask("SELECT to_regclass('public.x')") is None


def test_a_failing_migration_keeps_the_ones_before_it(stage: Stage, tmp_path: Path) -> None:
    files = _with(stage, tmp_path, "ALTER TABLE users ADD COLUMN x int", "SELECT nothing")
    with pytest.raises(MigrationError):
        stage.apply(migrations=files)
    assert stage.ask("SELECT max(version) FROM circlepay.migrations") == 3


def test_an_error_on_an_empty_server_names_its_place_too(bare: Stage, tmp_path: Path) -> None:
    files = _with(bare, tmp_path, "SELECT 1;\nSELECT nothing;\n")
    with pytest.raises(MigrationError) as caught:
        bare.apply(migrations=files)
    assert caught.value.path.endswith("0003_more.sql:2:8")
    assert bare.ask("SELECT to_regclass('public.users')") is None
    bare.apply()


def test_without_a_transaction_an_index_can_be_built_concurrently(stage: Stage, tmp_path: Path) -> None:
    text = "-- transaction: none\nCREATE INDEX CONCURRENTLY IF NOT EXISTS mine ON users (last_name);\nSELECT 1;\n"
    files = _with(stage, tmp_path, text)
    assert mended(stage, migrations=files) == ["apply migration 0003_more"]
    assert stage.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'mine'::regclass")
    assert stage.ask("SELECT duration IS NULL FROM circlepay.migrations WHERE version = 3")


def test_a_comment_at_the_end_of_a_file_swallows_nothing(stage: Stage, tmp_path: Path) -> None:
    files = _with(stage, tmp_path, "ALTER TABLE users ADD COLUMN x int -- the end")
    assert mended(stage, migrations=files) == ["apply migration 0003_more"]


def test_a_lock_that_is_not_released_is_an_error_that_names_its_holder(stage: Stage, tmp_path: Path) -> None:
    files = _with(stage, tmp_path, "ALTER TABLE users ADD COLUMN x int")
    with stage.connect() as other:
        other.execute("BEGIN; LOCK TABLE users IN ACCESS SHARE MODE")
        with pytest.raises(MigrationError, match="lock timeout") as caught:
            stage.apply(migrations=files, lock_timeout=0.3)
        assert str(other.info.backend_pid) in caught.value.hint
        assert caught.value.path.endswith("0003_more.sql:1:1")
        other.execute("COMMIT")
    assert mended(stage, migrations=files) == ["apply migration 0003_more"]


def test_a_statement_that_runs_too_long_is_an_error(stage: Stage, tmp_path: Path) -> None:
    files = _with(stage, tmp_path, "SELECT pg_sleep(30)")
    with pytest.raises(MigrationError, match="statement timeout") as caught:
        stage.apply(migrations=files, statement_timeout=0.3)
    assert "statementTimeout" in caught.value.hint


def test_cancelling_interrupts_the_statement_that_runs(stage: Stage, tmp_path: Path) -> None:
    files = _with(stage, tmp_path, "SELECT pg_sleep(30)")
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    began = time.monotonic()
    with pytest.raises((MigrationError, CatalogError), match="cancel"):
        objects.apply_all(stage.login, stage.declared(migrations=files), cancelled=cancelled)
    assert time.monotonic() - began < 15
    assert stage.ask("SELECT max(version) FROM circlepay.migrations") == 2
    assert stage.apply().changes == ()


def test_the_application_cannot_touch_the_record(stage: Stage) -> None:
    for query in ("SELECT * FROM circlepay.migrations", "DELETE FROM circlepay.migrations"):
        with stage.as_application() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(query.encode())


def test_a_lost_record_is_an_error_that_offers_adoption(stage: Stage) -> None:
    stage.run("DROP SCHEMA circlepay CASCADE")
    for attempt in (stage.plan, stage.apply):
        with pytest.raises(CatalogError, match="no record of migrations") as caught:
            attempt()
        assert "adopt" in caught.value.hint
    outcome = stage.apply(database={"adopt": True})
    assert [change.action for change in outcome.changes if "migration " in change.subject] == ["adopt", "adopt"]
    assert stage.plan().changes == ()
