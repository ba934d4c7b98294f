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
from infra.postgres.objects import Section
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
        ({"v0001_a": "SELECT 1;\nCOMMIT/**/;"}, "0001_a.sql:2:1", "COMMIT would end the transaction"),
        ({"v0001_a": "-- old\rCOMMIT;"}, "0001_a.sql:1:8", "COMMIT would end the transaction"),
        ({"v0001_a": "\\restrict abc\nSELECT 'x';"}, "0001_a.sql:1:1", "`\\restrict` is a command of psql"),
        ({"v0001_a": "SELECT 1;\n  \\c other"}, "0001_a.sql:2:3", "`\\c` is a command of psql"),
        ({"v0001_a": "SELECT 1 AS n \\gset"}, "0001_a.sql:1:15", "`\\gset` is a command of psql"),
        ({"v0001_a": "SELECT 1;\nSELECT :'name';"}, "0001_a.sql:2:8", "`:'name';` is a variable of psql"),
        ({"v0001_a": "CREATE SCHEMA ${schema};"}, "0001_a.sql:1:15", "`${schema};` is another tool's placeholder"),
        ({"v0001_a": "COPY t (a) FROM stdin;\nit's\n\\.\n"}, "0001_a.sql:1:1", "COPY with rows in the file"),
        ({"v0001_a": "SELECT 1;\nCOPY (SELECT 1) TO STDOUT"}, "0001_a.sql:2:1", "COPY with rows in the file"),
        ({"v0001_a": "SELECT 1;\n\ufeffSELECT 2;"}, "0001_a.sql:2:1", "a byte-order mark"),
        ({"v0001_a": "SELECT 1;\nSELECT '\0';"}, "0001_a.sql:2:9", "a NUL character"),
        ({"v0001_a": "SELECT 'é';", "v0002_b.down": ""}, "0002_b.down.sql", "its name is not"),
        ({"V1__a": ""}, "V1__a.sql", "its name is not"),
        ({"v٠٠٠١_a": ""}, "٠٠٠١_a.sql", "its name is not"),
        ({"v0000_a": ""}, "0000_a.sql", "versions begin at 0001"),
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


@pytest.mark.parametrize("name", ["0002_b.SQL", "0002_b.sql.txt", "0002_b", "0002_b copy.sql", "seed.py", "V2__b.sql"])
def test_what_was_meant_as_a_migration_is_never_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "0001_a.sql").touch()
    (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match="its name is not") as caught:
        load(tmp_path)
    assert caught.value.path.endswith(name)


@pytest.mark.parametrize("name", ["old", "0002_b.sql"])
def test_a_folder_is_no_migration(tmp_path: Path, name: str) -> None:
    (tmp_path / "0001_a.sql").touch()
    (tmp_path / name).mkdir()
    with pytest.raises(MigrationError, match=r"is a folder|is a directory") as caught:
        load(tmp_path)
    assert caught.value.path.endswith(name)


def test_a_folder_that_is_not_there_or_none_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        with pytest.raises(MigrationError, match=r"not a directory|no such file") as caught:
            load(tmp_path / name)
        assert caught.value.path.endswith(name)


def test_what_editors_leave_is_ignored(tmp_path: Path) -> None:
    litter = [
        ".0001_a.sql.swp",
        "0001_a.sql~",
        "#0001_a.sql#",
        "0001_a.sql.orig",
        "._0001_a.sql",
        ".DS_Store",
        "README.md",
    ]
    for name in ("0001_a.sql", *litter):
        (tmp_path / name).write_text("not SQL '" if name in litter else "SELECT 1")
    (tmp_path / ".#0001_a.sql").symlink_to("user@host.1234")
    assert [migration.label for migration in load(tmp_path)] == ["0001_a"]


def test_a_byte_order_mark_at_the_beginning_is_no_sql(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(b"\xef\xbb\xbf-- transaction: none\nSELECT 1")
    (found,) = load(tmp_path)
    assert (found.text, found.transactional) == ("-- transaction: none\nSELECT 1", False)


@pytest.mark.parametrize(
    "mark",
    [
        "-- migrate:down",
        "-- +goose Down",
        "--  +migrate Down",
        "--changeset me:2",
        "---- create above / drop below ----",
        "# --- !Downs",
        "-- //@UNDO",
        "-- Down Migration",
        "/* migrate:down */",
        "-- Rollback",
        "-- === DOWN ===",
    ],
)
def test_other_tools_sections_are_refused_before_anything_is_applied(stage: Stage, tmp_path: Path, mark: str) -> None:
    files = _with(stage, tmp_path, "CREATE TABLE x ();", f"CREATE TABLE y ();\n{mark}\nDELETE FROM users;\n")
    for attempt in (stage.plan, stage.apply):
        with pytest.raises(MigrationError, match="the whole file would run") as caught:
            attempt(migrations=files)
        assert caught.value.path.endswith(f"0004_more.sql:2:{1 + mark.startswith('#') * 2}")
    assert stage.ask("SELECT to_regclass('public.x')") is None


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("CREATE ROLE x;", "1:1", "CREATE ROLE"),
        ("SELECT 1; ALTER /* now */ USER x SET work_mem = '1MB'", "1:11", "ALTER USER"),
        ("DROP GROUP x", "1:1", "DROP GROUP"),
        ("GRANT a, b TO c", "1:1", "GRANT A"),
        ("REVOKE a FROM c", "1:1", "REVOKE A"),
        ("GRANT CONNECT ON DATABASE circlepay_db TO x", "1:1", "GRANT CONNECT"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "1:1", "ALTER SYSTEM"),
        ("CREATE DATABASE x", "1:1", "CREATE DATABASE"),
        ("ALTER DATABASE circlepay_db SET search_path = x", "1:1", "ALTER DATABASE"),
        ("CREATE TABLESPACE x LOCATION '/srv'", "1:1", "CREATE TABLESPACE"),
        ("CREATE SUBSCRIPTION x CONNECTION '' PUBLICATION y", "1:1", "CREATE SUBSCRIPTION"),
        ("REASSIGN OWNED BY x TO y", "1:1", "REASSIGN OWNED"),
        ("COMMENT ON DATABASE circlepay_db IS 'mine'", "1:1", "COMMENT ON"),
        ("DO $$\nBEGIN\n  -- create role\n  CREATE  ROLE x; END $$", "4:3", "CREATE ROLE"),
    ],
)
def test_what_changes_the_whole_server_is_refused(tmp_path: Path, text: str, place: str, words: str) -> None:
    (found,) = load(_folder(tmp_path, v0001_a=text))
    assert found.objection is not None
    assert found.objection.path.endswith(f"0001_a.sql:{place}")
    assert found.objection.cause == f"{words} changes the whole server, and a migration only its database"
    assert found.objection.hint


@pytest.mark.parametrize(
    "text",
    [
        "CREATE USER MAPPING FOR x SERVER y; GRANT SELECT ON t TO x; REVOKE ALL ON SCHEMA s FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x; COMMENT ON TABLE t IS 'x'",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$BEGIN CREATE ROLE x; END$$",
        "DO $$BEGIN RAISE NOTICE 'users'; END$$; SELECT 'CREATE ROLE x'",
        "-- what was rolled back\nSELECT 1; -- scaling up and down",
        "SELECT '-- migrate:down', $$\n-- Down\n\\.\n$$, '\\c', E'\\n'",
        "SELECT a[1:n], b::text, c [lower :upper] FROM t",
        "SELECT json_object('a':x)",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END",
        "COPY t FROM '/srv/rows'; SELECT 'copy t from stdin'",
    ],
)
def test_what_only_looks_like_it_is_accepted(tmp_path: Path, text: str) -> None:
    (found,) = load(_folder(tmp_path, v0001_a=text))
    assert found.objection is None


def test_an_applied_file_is_not_objected_to(stage: Stage, tmp_path: Path) -> None:
    """A release before this one has run it whole, and it cannot be edited any more; the replay leaves the server alone."""
    text = f"-- migrate:up\nCREATE TABLE x ();\n-- migrate:down\nDROP TABLE x; ALTER ROLE {stage.objects.role.name} NOLOGIN;"
    files = _with(stage, tmp_path, text)
    insert = "INSERT INTO circlepay.migrations (version, name, sha256) VALUES (3, 'more', %s) RETURNING 1"
    stage.ask(insert, files[2].sha256)
    assert stage.apply(migrations=files).changes == ()


def test_line_ends_and_a_byte_order_mark_change_neither_text_nor_checksum(tmp_path: Path) -> None:
    found = []
    for number, saved in enumerate(
        (b"SELECT 1;\n\n-- x\n", b"SELECT 1;\r\n\r\n-- x\r\n", b"\xef\xbb\xbfSELECT 1;\n\n-- x\n")
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "0001_a.sql").write_bytes(saved)
        found += load(folder)
    assert len({(migration.text, migration.sha256) for migration in found}) == 1
    assert found[0].sha256 == hashlib.sha256(b"SELECT 1;\n\n-- x\n").hexdigest()


def test_a_checksum_of_another_checkout_is_accepted_and_recorded_anew(stage: Stage) -> None:
    before = stage.objects.migrations[1].sha256
    windows = (MIGRATIONS / "0002_transactions_currency_width.sql").read_bytes().replace(b"\n", b"\r\n")
    update = "UPDATE circlepay.migrations SET sha256 = %s WHERE version = 2 RETURNING 1"
    stage.ask(update, hashlib.sha256(windows).hexdigest())
    stage.run("DROP INDEX idx_users_kyc_status")
    assert mended(stage) == [
        "set migration 0002_transactions_currency_width",
        "create index public.idx_users_kyc_status",
    ]
    assert stage.ask("SELECT sha256 FROM circlepay.migrations WHERE version = 2") == before


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
    expected = [
        (item.version, item.name, item.sha256, True, True, "circlepay_owner") for item in stage.objects.migrations
    ]
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


def test_an_error_on_an_empty_server_keeps_the_ones_before_it_too(bare: Stage, tmp_path: Path) -> None:
    files = _with(bare, tmp_path, "SELECT 1;\nSELECT nothing;\n")
    with pytest.raises(MigrationError) as caught:
        bare.apply(migrations=files)
    assert caught.value.path.endswith("0003_more.sql:2:8")
    assert bare.ask("SELECT max(version) FROM circlepay.migrations") == 2
    bare.apply()


_LEAKS = (
    "SELECT set_config('search_path', '', false), set_config('my.setting', 'x', false);"
    " SET client_min_messages = error; SET check_function_bodies = off; CREATE TEMP TABLE users AS SELECT 1 AS one;"
    " PREPARE prepared AS SELECT 1; SELECT pg_advisory_lock(42); LISTEN somebody; SET LOCAL search_path = pg_catalog;"
    " DECLARE held CURSOR WITH HOLD FOR SELECT 1;"
)
_NOTHING_LEAKED = """
    DO $$BEGIN
        ASSERT current_setting('search_path') = 'public', 'search_path';
        ASSERT current_setting('my.setting', true) IS NULL, 'a setting of its own';
        ASSERT current_setting('check_function_bodies') = 'on', 'check_function_bodies';
        ASSERT to_regclass('pg_temp.users') IS NULL, 'a temporary table';
        ASSERT NOT EXISTS (SELECT FROM pg_prepared_statements), 'a prepared statement';
        ASSERT NOT EXISTS (SELECT FROM pg_cursors WHERE name = 'held'), 'a cursor';
        ASSERT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 42), 'an advisory lock';
        ASSERT NOT EXISTS (SELECT FROM pg_listening_channels()), 'a channel';
    END$$;
    CREATE TABLE made (x int CHECK (x > 0)); CREATE INDEX made_index ON made (x);
"""


def test_each_migration_is_a_session_of_its_own_fresh_or_not(bare: Stage, tmp_path: Path) -> None:
    alone = "-- transaction: none\nSET search_path = ''; SELECT pg_advisory_lock(42); SET ROLE pg_monitor;"
    files = _with(bare, tmp_path, _LEAKS, _NOTHING_LEAKED, alone.partition(" SET ROLE")[0], "SELECT 1")
    bare.apply(migrations=files)
    fresh = bare.ask("SELECT pg_get_indexdef('public.made_index'::regclass)")
    assert bare.apply(migrations=files).changes == ()
    cache = {"cache": tmp_path / "empty"}
    assert bare.apply(migrations=files, **cache).changes == (), "the replay makes the same"
    bare.run(f"DROP DATABASE {bare.name} WITH (FORCE)", database="postgres")
    for count in range(2, len(files) + 1):
        bare.apply(migrations=files[:count])
    assert bare.ask("SELECT pg_get_indexdef('public.made_index'::regclass)") == fresh
    assert bare.apply(migrations=files, **cache).changes == ()


def test_a_migration_may_name_the_applications_role_on_an_empty_server(bare: Stage, tmp_path: Path) -> None:
    role = bare.objects.role.name
    policy = f"ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON users TO {role} USING (true);"
    files = _with(bare, tmp_path, policy)
    for section in (Section.DATABASE, Section.SCHEMA, Section.ACCESS):
        objects.apply_all(bare.login, bare.declared(migrations=files), sections={section})
    assert bare.ask("SELECT polroles[1]::regrole::text FROM pg_policy WHERE polname = 'mine'") == role
    assert bare.plan(migrations=files).changes == ()
    with bare.as_application() as connection:
        connection.execute("SELECT * FROM users")


def test_a_replay_that_fails_is_told_as_its_own_and_stops_nothing(stage: Stage, tmp_path: Path) -> None:
    """A migration that the rows or an earlier state of this one database made possible."""
    stage.run("CREATE TABLE by_hand ()")
    files = _with(stage, tmp_path, "ALTER TABLE by_hand ADD COLUMN x int;")
    outcome = stage.apply(migrations=files, cache=tmp_path / "cache")
    assert "migration 0003_more" in [change.subject for change in outcome.changes]
    (finding,) = [finding for finding in outcome.findings if finding.subject == "schema"]
    assert '0003_more.sql:1:1: relation "by_hand" does not exist (in a scratch database' in finding.problem
    again = stage.apply(migrations=files, cache=tmp_path / "cache")
    assert (again.changes, len([item for item in again.findings if item.subject == "schema"])) == ((), 1)


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
