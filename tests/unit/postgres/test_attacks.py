"""The application's login reaches no further than its privileges, whatever it leaves behind for others to run."""

from __future__ import annotations

import psycopg
import pytest

from tests.support import attacks
from tests.unit.postgres.conftest import ROLE, Stage
from tests.unit.postgres.test_ownership import migration

TRAP = f"""
BEGIN
    BEGIN
        EXECUTE 'RESET SESSION AUTHORIZATION';
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    IF current_setting('is_superuser') = 'on' THEN
        ALTER ROLE {ROLE} SUPERUSER;
    END IF;
    RETURN {{result}};
END
"""
PLANTED = (
    # Fits a call with a literal better than PostgreSQL's own, which takes a regclass.
    "CREATE FUNCTION public.setval(text, bigint) RETURNS bigint LANGUAGE plpgsql AS $f$"
    + TRAP.format(result=1)
    + "$f$",
    "CREATE OR REPLACE FUNCTION public.update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $f$"
    + TRAP.format(result="NEW")
    + "$f$",
    "DROP SEQUENCE public.users_id_seq CASCADE",
    "DROP INDEX public.idx_users_kyc_status",
)


def test_no_attack_succeeds_with_the_documented_privileges(stage: Stage) -> None:
    with stage.as_application() as session:
        assert attacks.succeeded(session) == {}


def test_a_restricted_application_cannot_begin_one(stage: Stage) -> None:
    stage.apply(privileges={"restricted": True, "strict": True})
    beginnings = (
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE TEMPORARY TABLE t (x int)",
        "CREATE TRIGGER t BEFORE DELETE ON wallets FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "TRUNCATE users CASCADE",
    )
    with stage.as_application() as session:
        assert attacks.succeeded(session) == {}
        for statement in beginnings:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement.encode())


def test_what_the_owner_was_made_to_leave_behind_is_not_run_by_the_superuser(stage: Stage) -> None:
    stage.run("INSERT INTO users (email, first_name, last_name, country_code) VALUES ('kept', 'A', 'B', 'KR')")
    with stage.connect() as session:
        session.execute("SET SESSION AUTHORIZATION circlepay_owner")
        for statement in PLANTED:
            session.execute(statement.encode())
    try:
        done = [change.subject for change in stage.apply().changes]
        assert {"sequence public.users_id_seq", "function public.update_updated_at_column"} <= set(done)
        assert stage.ask("SELECT rolsuper FROM pg_roles WHERE rolname = %s", ROLE) is False
    finally:
        stage.run(f"ALTER ROLE {ROLE} NOSUPERUSER", "DROP FUNCTION public.setval(text, bigint)")


def test_a_trigger_that_a_migration_fires_cannot_become_the_superuser(stage: Stage) -> None:
    stage.run("INSERT INTO users (email, first_name, last_name, country_code) VALUES ('fired', 'A', 'B', 'KR')")
    trap = TRAP.format(result="NEW")
    with stage.as_application() as session:
        session.execute(f"CREATE FUNCTION pg_temp.trap() RETURNS trigger LANGUAGE plpgsql AS $f${trap}$f$".encode())
        session.execute("CREATE TRIGGER trap BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION pg_temp.trap()")
        done = stage.apply(**migration(stage, "UPDATE users SET first_name = 'C' WHERE email = 'fired'"))
    assert [change.action for change in done.changes if change.subject.startswith("migration")] == ["apply"]
    assert stage.ask("SELECT first_name FROM users WHERE email = 'fired'") == "C"
    assert stage.ask("SELECT rolsuper FROM pg_roles WHERE rolname = %s", ROLE) is False
    assert (
        stage.ask("SELECT rolcanlogin OR rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'circlepay_owner'")
        is False
    )
    assert stage.ask("SELECT has_table_privilege('circlepay_owner', 'circlepay.migrations', 'INSERT')") is False
