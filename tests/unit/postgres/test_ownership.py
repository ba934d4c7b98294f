"""Objects belong to a role without power, from the first migration on, and also what was there before that role."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.sql import SQL, Identifier

from infra.errors import MigrationError
from infra.postgres.facts import Catalog
from infra.postgres.migrations import Migration, load, pending
from tests.unit.postgres.conftest import OWNER, ROLE, Stage, mended
from tests.unit.postgres.test_roles import a_foreign_role_is_refused

OWNERS = """
SELECT json_object_agg(DISTINCT n.nspname, pg_get_userbyid(c.relowner))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', 'circlepay')
"""


def migration(stage: Stage, text: str, *, transactional: bool = True) -> dict[str, tuple[Migration, ...]]:
    """The declaration with one more migration."""
    number = len(stage.objects.migrations) + 1
    more = Migration(number, "more", f"{number:04d}_more.sql", text, "0" * 64, transactional)
    return {"migrations": (*stage.objects.migrations, more)}


def test_everything_but_the_record_belongs_to_the_owner(stage: Stage) -> None:
    assert stage.ask(OWNERS) == {"public": OWNER, "circlepay": "postgres"}
    assert stage.ask("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()") == "postgres"
    assert stage.ask("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'") == "pg_database_owner"
    assert (
        stage.ask("SELECT DISTINCT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        == OWNER
    )


def test_the_owner_can_do_nothing_but_own(stage: Stage) -> None:
    row = stage.ask(
        "SELECT json_build_array(rolsuper, rolcanlogin, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, "
        "rolpassword IS NOT NULL) FROM pg_authid WHERE rolname = %s",
        OWNER,
    )
    assert row == [False] * 7


def of_the_superuser(stage: Stage) -> None:
    """As code before this role left it: everything the superuser's, and default privileges for what it creates."""
    with stage.connect() as connection:
        rows = connection.execute(
            "SELECT format('ALTER TABLE %I OWNER TO postgres', relname) FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
            "UNION ALL SELECT 'ALTER FUNCTION update_updated_at_column() OWNER TO postgres'"
        ).fetchall()
        for (statement,) in rows:
            connection.execute(statement.encode())
    stage.run(
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public REVOKE ALL ON TABLES FROM {ROLE}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public REVOKE ALL ON SEQUENCES FROM {ROLE}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {ROLE}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO {ROLE}",
        f"REVOKE ALL ON DATABASE {stage.name} FROM {OWNER}",
        f"REVOKE ALL ON SCHEMA public FROM {OWNER}",
    )


TABLES = ("kyc_documents", "transactions", "users", "wallets")
KINDS = ("sequences", "tables")
MOVED = [
    *(f"alter table public.{name}" for name in TABLES),
    "alter function public.update_updated_at_column",
    *(f"grant default privileges of {ROLE} on {kind} of {OWNER} in schema public" for kind in ("tables", "sequences")),
    *(f"revoke default privileges of {ROLE} on {kind} of postgres in schema public" for kind in KINDS),
]


def test_a_stack_of_before_is_moved_as_previewed(stage: Stage) -> None:
    of_the_superuser(stage)
    database = [f"grant privileges of {OWNER} on {what}" for what in (f"database {stage.name}", "schema public")]
    assert mended(stage) == [*database, *MOVED]
    test_everything_but_the_record_belongs_to_the_owner(stage)


def test_a_preview_shows_the_move_before_anything_was_replayed(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    of_the_superuser(stage)
    shown = stage.plan(cache=tmp_path_factory.mktemp("empty")).changes
    tables = {change.subject: change for change in shown if change.subject.startswith("table ")}
    assert tables.keys() == {f"table public.{name}" for name in TABLES}
    assert tables["table public.users"].reason == f"owner is postgres, declared {OWNER}"
    assert tables["table public.users"].lock == "ACCESS EXCLUSIVE on public.users"


def test_what_another_role_was_given_by_hand_comes_back(stage: Stage) -> None:
    stage.run("CREATE ROLE somebody_else")
    try:
        stage.run("ALTER TABLE wallets OWNER TO somebody_else", "CREATE TABLE own_table (x int)")
        stage.run("ALTER TABLE own_table OWNER TO somebody_else")
        done = mended(stage)
        assert "alter table public.wallets" in done
        assert "alter table public.own_table" not in done, "it is no migration's, and nobody reaches a superuser by it"
        stage.run("DROP TABLE own_table")
    finally:
        stage.run("DROP ROLE somebody_else")


def test_a_function_that_a_superuser_has_called_stays_out_of_the_owners_reach(stage: Stage) -> None:
    stage.run(
        "CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION audit()",
    )
    stage.apply()
    assert stage.ask("SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'audit'") == "postgres"
    assert stage.plan().changes == ()


def test_a_migration_of_an_upgrade_may_replace_what_was_the_superusers(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    of_the_superuser(stage)
    more = migration(stage, stage.ask("SELECT pg_get_functiondef('update_updated_at_column()'::regprocedure)"))
    stage.apply(cache=tmp_path_factory.mktemp("empty"), **more)
    test_everything_but_the_record_belongs_to_the_owner(stage)


def test_a_migration_is_run_and_recorded_by_the_owner(stage: Stage) -> None:
    text = "CREATE TABLE made_by (who name DEFAULT session_user); RESET ROLE; INSERT INTO made_by DEFAULT VALUES"
    stage.apply(**migration(stage, text))
    assert stage.ask("SELECT who FROM made_by") == OWNER
    assert stage.ask("SELECT tableowner FROM pg_tables WHERE tablename = 'made_by'") == OWNER
    assert stage.ask("SELECT DISTINCT applied_by FROM circlepay.migrations") == OWNER


@pytest.mark.parametrize("transactional", [True, False])
def test_what_a_migration_may_not_is_an_error_at_its_line(stage: Stage, transactional: bool) -> None:
    text = "SELECT 1;\nSELECT rolpassword FROM pg_authid"
    with pytest.raises(MigrationError, match="permission denied") as caught:
        stage.apply(**migration(stage, text, transactional=transactional))
    assert caught.value.path.endswith("_more.sql:2:1")
    assert OWNER in caught.value.hint


def test_trusted_extensions_are_a_migrations_own(stage: Stage) -> None:
    stage.apply(**migration(stage, "CREATE EXTENSION citext; CREATE TABLE names (name citext)"))
    assert stage.ask("SELECT extowner::regrole::text FROM pg_extension WHERE extname = 'citext'") == OWNER


def test_an_extension_that_only_a_superuser_may_create_says_so(stage: Stage) -> None:
    with pytest.raises(MigrationError) as caught:
        stage.apply(**migration(stage, "CREATE EXTENSION file_fdw"))
    assert "file_fdw" in caught.value.cause
    assert "circlepay psql" in caught.value.hint
    stage.run("CREATE EXTENSION file_fdw")
    stage.apply(**migration(stage, "CREATE EXTENSION IF NOT EXISTS file_fdw"))
    assert stage.plan(**migration(stage, "CREATE EXTENSION IF NOT EXISTS file_fdw")).changes == ()


@pytest.mark.parametrize(
    "statement", ["RESET SESSION AUTHORIZATION", "set session authorization default", "DISCARD ALL"]
)
def test_a_migration_that_would_leave_its_role_is_refused_unread(tmp_path: Path, statement: str) -> None:
    (tmp_path / "0001_escape.sql").write_text(f"-- transaction: none\nSELECT 1;\n{statement};\n")
    with pytest.raises(MigrationError, match="ownerRole") as caught:
        pending(Catalog(), load(tmp_path))
    assert caught.value.path.endswith(":3:1")


def test_a_role_of_that_name_that_is_not_ours_is_refused(bare: Stage) -> None:
    name = bare.objects.owner.name
    a_foreign_role_is_refused(bare, name, "postgres.ownerRole")
    adopted = bare.apply(owner={"adopt": True})
    assert f"adopt role {name}" in [f"{change.action} {change.subject}" for change in adopted.changes]
    assert bare.ask("SELECT rolpassword IS NULL AND NOT rolcanlogin FROM pg_authid WHERE rolname = %s", name)


ATTRIBUTES = ("SUPERUSER", "LOGIN", "CREATEDB", "CREATEROLE", "BYPASSRLS", "PASSWORD 'mine'")


def test_an_owner_that_was_given_power_loses_it(stage: Stage) -> None:
    stage.run(*(f"ALTER ROLE {OWNER} {attribute}" for attribute in ATTRIBUTES), f"GRANT pg_read_all_data TO {OWNER}")
    assert set(mended(stage)) == {f"alter role {OWNER}", f"revoke role {OWNER}"}


def test_who_may_act_as_the_owner_is_told(stage: Stage) -> None:
    stage.run("CREATE ROLE deputy", f"GRANT {OWNER} TO deputy", f"GRANT SELECT ON pg_authid TO {OWNER}")
    try:
        found = {item.problem for item in stage.plan().findings if item.subject == f"role {OWNER}"}
        assert found == {
            "deputy is a member of it and has all its privileges",
            "was granted SELECT on table pg_catalog.pg_authid",
        }
    finally:
        stage.run("DROP ROLE deputy", f"REVOKE ALL ON pg_authid FROM {OWNER}")


def test_another_owner_is_chosen_by_its_setting(stage: Stage) -> None:
    stage.run("DROP ROLE IF EXISTS another_owner")
    other = {"owner": {"name": "another_owner"}, "privileges": {"owner": "another_owner"}}
    try:
        mended(stage, **other)
        assert stage.ask(OWNERS)["public"] == "another_owner"
    finally:
        mended(stage)
        with stage.connect() as connection:
            connection.execute(SQL("DROP OWNED BY {0}").format(Identifier("another_owner")))
            connection.execute("DROP ROLE another_owner")
