"""Everything applied, twice, together, and killed half-way, on real servers."""

from __future__ import annotations

import psycopg
import pytest

from infra.changes import Change
from infra.postgres import objects
from infra.postgres.catalog import read, read_overview
from infra.postgres.database import MARK
from infra.postgres.objects import Section
from tests.unit.postgres.conftest import PASSWORD, Stage, mended


def test_an_empty_server_gets_everything_and_the_second_time_nothing(bare: Stage) -> None:
    planned = bare.plan()
    outcome = bare.apply()
    assert [change.subject for change in outcome.changes] == [change.subject for change in planned.changes]
    assert outcome.changes[0].action == "create"
    assert bare.plan().changes == ()
    assert bare.apply().changes == ()
    assert (
        bare.ask("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()")
        == MARK
    )


def test_the_documented_objects_are_there(finished: Stage) -> None:
    with finished.connect() as connection:
        facts = read(connection)
    public = [table.name for table in facts.tables if table.schema == "public"]
    assert sorted(public) == ["kyc_documents", "transactions", "users", "wallets"]
    assert len([index for index in facts.indexes if index.schema == "public"]) == 35
    assert sorted(trigger.name for trigger in facts.triggers) == [
        "update_kyc_documents_updated_at",
        "update_users_updated_at",
        "update_wallets_updated_at",
    ]
    assert [function.name for function in facts.functions] == ["update_updated_at_column"]
    assert [migration.version for migration in facts.migrations] == [1, 2]


def test_the_application_can_rely_on_the_currency_default(stage: Stage) -> None:
    with stage.as_application() as connection:
        connection.execute(
            "INSERT INTO users (email, first_name, last_name, country_code) VALUES ('a@b.c', 'A', 'B', 'KR')"
        )
        row = connection.execute(
            "INSERT INTO transactions (user_id, transaction_id, transaction_type, amount) "
            "VALUES ((SELECT max(id) FROM users), 't-1', 'pay', 1.5) RETURNING currency"
        ).fetchone()
    assert row == ("USDC",)


def test_the_baseline_alone_has_the_documented_defect(bare: Stage) -> None:
    bare.apply(migrations=bare.objects.migrations[:1])
    bare.run("INSERT INTO users (email, first_name, last_name, country_code) VALUES ('a@b.c', 'A', 'B', 'KR')")
    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        bare.run(
            "INSERT INTO transactions (user_id, transaction_id, transaction_type, amount) VALUES (1, 't', 'pay', 1)"
        )
    assert mended(bare) == ["apply migration 0002_transactions_currency_width"]
    bare.run("INSERT INTO transactions (user_id, transaction_id, transaction_type, amount) VALUES (1, 't', 'pay', 1)")


def test_overview_says_whether_a_database_is_empty(bare: Stage, stage: Stage) -> None:
    with stage.connect() as connection:
        assert not read_overview(connection).empty
    bare.run(f"CREATE DATABASE {bare.name} TEMPLATE template0", database="postgres")
    with bare.connect() as connection:
        assert read_overview(connection).empty
        connection.execute("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        assert not read_overview(connection).empty


def test_overview_and_full_read_agree(bare: Stage) -> None:
    bare.run(f"CREATE DATABASE {bare.name} TEMPLATE template0", database="postgres")
    with bare.connect() as connection:
        reading = read(connection)
        databases, roles = [item.name for item in reading.databases], [item.name for item in reading.roles]
        overview = read_overview(connection, databases=databases, roles=roles)
    for part in ("server", "schemas"):
        assert getattr(overview, part) == getattr(reading, part)
    for part in ("databases", "tablespaces", "roles", "grants"):
        assert sorted(getattr(overview, part), key=repr) == sorted(getattr(reading, part), key=repr)


def test_parts_can_be_applied_one_after_the_other(bare: Stage) -> None:
    done: list[Change] = []
    for section in Section:
        planned = objects.plan_all(bare.login, bare.objects, sections={section})
        outcome = objects.apply_all(bare.login, bare.objects, sections={section})
        assert [change.subject for change in planned.changes] == [change.subject for change in outcome.changes]
        assert objects.plan_all(bare.login, bare.objects, sections={section}).changes == ()
        done += outcome.changes
    assert len(done) > 10
    assert bare.apply().changes == ()


def test_a_part_is_as_quick_where_the_role_exists(bare: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema of an empty database needs no replay, whoever else has a role of that name."""
    monkeypatch.setattr("infra.postgres.declared.replay", None)
    bare.run(f"CREATE ROLE {bare.objects.role.name}", database="postgres")
    for section in (Section.DATABASE, Section.SCHEMA):
        objects.apply_all(bare.login, bare.objects, sections={section})
    assert bare.ask("SELECT max(version) FROM circlepay.migrations") == 2


def test_an_open_session_can_be_used_and_stays_open(stage: Stage) -> None:
    stage.run("DROP INDEX idx_users_kyc_status")
    with stage.connect() as connection:
        outcome = objects.apply_all(stage.login, stage.objects, connection=connection)
        assert [change.action for change in outcome.changes] == ["create"]
        row = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
    assert row == (0,)


def test_a_plan_touches_nothing(bare: Stage) -> None:
    bare.plan()
    assert bare.ask("SELECT count(*) FROM pg_database WHERE datname = %s", bare.name, database="postgres") == 0


def test_the_role_logs_in_with_the_declared_password_and_no_other(stage: Stage) -> None:
    with stage.as_application(PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (stage.objects.role.name,)
    with pytest.raises(Exception, match="password authentication failed"), stage.as_application(PASSWORD + "x"):
        pass
