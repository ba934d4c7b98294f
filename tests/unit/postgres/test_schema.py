"""Drift of the schema: found, put back without touching rows, or reported with the migration that would."""

from __future__ import annotations

import re

import pytest

from infra.postgres import schema
from infra.postgres.catalog import read
from infra.postgres.schema import SchemaDeclaration
from tests.unit.postgres.conftest import Stage, mended

MENDED = {
    "a dropped index": (["DROP INDEX idx_users_kyc_status"], ["create index public.idx_users_kyc_status"]),
    "an index with other columns": (
        ["DROP INDEX idx_users_kyc_status", "CREATE INDEX idx_users_kyc_status ON users (kyc_level)"],
        ["drop index public.idx_users_kyc_status", "create index public.idx_users_kyc_status"],
    ),
    "an index on another table": (
        ["DROP INDEX idx_users_kyc_status", "CREATE INDEX idx_users_kyc_status ON wallets (chain_id)"],
        ["drop index public.idx_users_kyc_status", "create index public.idx_users_kyc_status"],
    ),
    "a disabled trigger": (
        ["ALTER TABLE users DISABLE TRIGGER update_users_updated_at"],
        ["enable trigger public.users.update_users_updated_at"],
    ),
    "a dropped trigger": (
        ["DROP TRIGGER update_wallets_updated_at ON wallets"],
        ["create trigger public.wallets.update_wallets_updated_at"],
    ),
    "a trigger that fires otherwise": (
        [
            "CREATE OR REPLACE TRIGGER update_wallets_updated_at AFTER UPDATE ON wallets "
            "FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()"
        ],
        ["alter trigger public.wallets.update_wallets_updated_at"],
    ),
    "every trigger of a table disabled, foreign keys with them": (
        ["ALTER TABLE wallets DISABLE TRIGGER ALL"],
        ["enable foreign-key triggers of public.wallets", "enable trigger public.wallets.update_wallets_updated_at"],
    ),
    "a changed function body": (
        [
            "CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RETURN NEW; END$$"
        ],
        ["alter function public.update_updated_at_column"],
    ),
    "a function run as its owner": (
        ["ALTER FUNCTION update_updated_at_column() SECURITY DEFINER"],
        ["alter function public.update_updated_at_column"],
    ),
    "a dropped function with its triggers": (
        ["DROP FUNCTION update_updated_at_column() CASCADE"],
        [
            "create function public.update_updated_at_column",
            "create trigger public.kyc_documents.update_kyc_documents_updated_at",
            "create trigger public.users.update_users_updated_at",
            "create trigger public.wallets.update_wallets_updated_at",
        ],
    ),
    "a changed default": (
        ["ALTER TABLE users ALTER COLUMN kyc_status SET DEFAULT 'verified'"],
        ["alter column public.users.kyc_status"],
    ),
    "a dropped default": (
        ["ALTER TABLE users ALTER COLUMN is_active DROP DEFAULT"],
        ["alter column public.users.is_active"],
    ),
    "a default where none is declared": (
        ["ALTER TABLE users ALTER COLUMN phone SET DEFAULT 'x'"],
        ["alter column public.users.phone"],
    ),
    "a column that became nullable": (
        ["ALTER TABLE users ALTER COLUMN first_name DROP NOT NULL"],
        ["alter column public.users.first_name"],
    ),
    "a column that became NOT NULL": (
        ["ALTER TABLE users ALTER COLUMN phone SET NOT NULL"],
        ["alter column public.users.phone"],
    ),
    "a dropped unique constraint": (
        ["ALTER TABLE users DROP CONSTRAINT users_email_key"],
        ["create unique constraint public.users.users_email_key"],
    ),
    "a unique constraint on other columns": (
        [
            "ALTER TABLE wallets DROP CONSTRAINT uq_user_chain",
            "ALTER TABLE wallets ADD CONSTRAINT uq_user_chain UNIQUE (user_id, chain_name)",
        ],
        ["alter unique constraint public.wallets.uq_user_chain"],
    ),
    "a dropped primary key with the foreign keys to it": (
        ["ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE"],
        [
            "create primary key public.users.users_pkey",
            "create foreign key public.kyc_documents.kyc_documents_user_id_fkey",
            "validate foreign key public.kyc_documents.kyc_documents_user_id_fkey",
            "create foreign key public.transactions.transactions_user_id_fkey",
            "validate foreign key public.transactions.transactions_user_id_fkey",
            "create foreign key public.wallets.wallets_user_id_fkey",
            "validate foreign key public.wallets.wallets_user_id_fkey",
        ],
    ),
    "a foreign key that does otherwise": (
        [
            "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey",
            "ALTER TABLE wallets ADD CONSTRAINT wallets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id)",
        ],
        [
            "alter foreign key public.wallets.wallets_user_id_fkey",
            "validate foreign key public.wallets.wallets_user_id_fkey",
        ],
    ),
    "a foreign key nobody validated": (
        [
            "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey",
            "ALTER TABLE wallets ADD CONSTRAINT wallets_user_id_fkey "
            "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE NOT VALID",
        ],
        ["validate foreign key public.wallets.wallets_user_id_fkey"],
    ),
    "a table given away": (
        ["ALTER TABLE users OWNER TO circlepay_user"],
        ["alter table public.users"],
    ),
    "a function given away": (
        ["ALTER FUNCTION update_updated_at_column() OWNER TO circlepay_user"],
        ["alter function public.update_updated_at_column"],
    ),
    "a schema given away": (["ALTER SCHEMA public OWNER TO postgres"], ["alter schema public"]),
    "a sequence that left its column": (
        ["ALTER SEQUENCE users_id_seq OWNED BY NONE"],
        ["alter sequence public.users_id_seq"],
    ),
    "a sequence that left its column and was given away": (
        ["ALTER SEQUENCE users_id_seq OWNED BY NONE", "ALTER SEQUENCE users_id_seq OWNER TO circlepay_user"],
        ["alter sequence public.users_id_seq", "alter sequence public.users_id_seq"],
    ),
    "a sequence that counts otherwise": (
        ["ALTER SEQUENCE users_id_seq INCREMENT 10 CACHE 5 CYCLE"],
        ["alter sequence public.users_id_seq"],
    ),
    "a dropped sequence": (
        ["DROP SEQUENCE users_id_seq CASCADE"],
        ["create sequence public.users_id_seq", "alter column public.users.id"],
    ),
}


@pytest.mark.parametrize("name", MENDED)
def test_is_put_back(stage: Stage, name: str) -> None:
    statements, expected = MENDED[name]
    stage.run(*statements)
    assert [line for line in mended(stage) if " privileges of " not in line] == expected


def test_nothing_is_found_where_nothing_changed(stage: Stage) -> None:
    assert stage.plan().changes == ()
    structural = [item for item in stage.plan().findings if "migration" in item.problem or "declared" in item.problem]
    assert structural == []


REPORTED = {
    "a missing table": (["DROP TABLE kyc_documents"], "table public.kyc_documents", "is missing"),
    "a missing column": (["ALTER TABLE users DROP COLUMN pin_hash"], "column public.users.pin_hash", "is missing"),
    "an extra column": (["ALTER TABLE users ADD COLUMN nick text"], "column public.users.nick", "no migration"),
    "a wider column": (
        ["ALTER TABLE users ALTER COLUMN phone TYPE varchar(30)"],
        "column public.users.phone",
        "is character varying(30), declared character varying(20)",
    ),
    "another collation": (
        ['ALTER TABLE users ALTER COLUMN phone TYPE varchar(20) COLLATE "C"'],
        "column public.users.phone",
        "declared character varying(20)",
    ),
    "an extra table": (["CREATE TABLE extra (id int)"], "table public.extra", "no migration"),
    "Alembic": (["CREATE TABLE alembic_version (v text)"], "table public.alembic_version", "no migration"),
    "a view": (["CREATE VIEW v AS SELECT 1"], "view public.v", "no migration"),
    "an extra index": (["CREATE INDEX mine ON users (last_name)"], "index public.mine", "no migration"),
    "an extra trigger": (
        ["CREATE TRIGGER mine BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()"],
        "trigger public.users.mine",
        "no migration",
    ),
    "an extra function": (
        ["CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
        "function public.mine()",
        "no migration",
    ),
    "an extra sequence": (["CREATE SEQUENCE mine"], "sequence public.mine", "no migration"),
    "an extra type": (["CREATE TYPE mood AS ENUM ('a')"], "type public.mood", "no migration"),
    "an extra constraint": (
        ["ALTER TABLE users ADD CONSTRAINT mine CHECK (kyc_level < 9)"],
        "check public.users.mine",
        "no migration",
    ),
    "a table that a crash empties": (
        ["ALTER TABLE kyc_documents SET UNLOGGED"],
        "table public.kyc_documents",
        "UNLOGGED",
    ),
    "a sequence of another type": (
        ["ALTER SEQUENCE users_id_seq AS bigint"],
        "sequence public.users_id_seq",
        "is bigint",
    ),
}


GIVEN_TO_THE_OWNER = {
    *("table public.extra", "table public.alembic_version", "view public.v"),
    *("sequence public.mine", "type public.mood"),
}
"""Made by the superuser, who must own nothing that the application has privileges on."""


@pytest.mark.parametrize("name", REPORTED)
def test_is_reported_and_stops_nothing_else(stage: Stage, name: str) -> None:
    statements, subject, problem = REPORTED[name]
    stage.run(*statements, "ALTER TABLE wallets DISABLE TRIGGER update_wallets_updated_at")
    found = [item for item in stage.plan().findings if item.subject == subject and problem in item.problem]
    assert len(found) == 1
    assert found[0].remedy
    given = ["alter " + subject.removesuffix("()").replace("view ", "table ")] if subject in GIVEN_TO_THE_OWNER else []
    done = [line for line in mended(stage) if " privileges of " not in line]
    assert done == [*given, "enable trigger public.wallets.update_wallets_updated_at"]


LOST_TABLES = {
    "that refers to another": (["kyc_documents"], {"table public.kyc_documents"}),
    "that others refer to": (["users"], {"table public.users"}),
    "each one of them": (
        ["users", "wallets", "transactions", "kyc_documents"],
        {"table public.users", "table public.wallets", "table public.transactions", "table public.kyc_documents"},
    ),
}


@pytest.mark.parametrize("name", LOST_TABLES)
def test_a_lost_table_is_one_finding_whose_remedy_brings_it_back(stage: Stage, name: str) -> None:
    tables, subjects = LOST_TABLES[name]
    before = {item.subject for item in stage.plan().findings}
    stage.run(*(f"DROP TABLE {table} CASCADE" for table in tables))
    assert [line for line in mended(stage) if " privileges of " not in line] == []
    found = [item for item in stage.plan().findings if item.problem == "is missing"]
    assert {item.subject for item in found} == subjects
    assert {item.subject for item in stage.apply().findings} - before == subjects
    for item in found:
        statement = re.search(r"psql -- -c '([^']*)'$", item.remedy)
        assert statement is not None, item.remedy
        stage.run(statement[1])
    stage.apply()
    assert mended(stage) == []
    assert {item.subject for item in stage.plan().findings} == before


def test_an_index_waits_for_its_lost_column(stage: Stage) -> None:
    stage.run("ALTER TABLE users DROP COLUMN kyc_status")
    assert mended(stage) == []
    assert "index" not in " ".join(item.subject for item in stage.apply().findings if "kyc_status" in item.subject)


def test_objects_of_an_extension_are_nobodys_drift(stage: Stage) -> None:
    available = stage.ask("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_stat_statements'")
    extension = "pg_stat_statements" if available else "plpgsql"
    stage.run(f"CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA public")
    outcome = stage.plan()
    assert outcome.changes == ()
    told = [item.subject for item in outcome.findings if "stat_statements" in item.subject]
    assert told == (["extension pg_stat_statements"] if available else []), "the extension itself, and nothing in it"


def test_a_dropped_sequence_goes_on_after_the_rows_that_exist(stage: Stage) -> None:
    stage.run(
        "INSERT INTO users (id, email, first_name, last_name, country_code) VALUES (41, 'a', 'A', 'B', 'KR')",
        "DROP SEQUENCE users_id_seq CASCADE",
    )
    mended(stage)
    with stage.as_application() as connection:
        row = connection.execute(
            "INSERT INTO users (email, first_name, last_name, country_code) VALUES ('b', 'A', 'B', 'KR') RETURNING id"
        ).fetchone()
    assert row == (42,)


def test_rows_that_break_a_lost_constraint_are_reported_and_stop_nothing_else(stage: Stage) -> None:
    insert = "INSERT INTO users (email, first_name, last_name, country_code) VALUES ('same', 'A', 'B', 'KR')"
    stage.run("ALTER TABLE users DROP CONSTRAINT users_email_key", insert, insert, "DROP INDEX idx_users_kyc_status")
    outcome = stage.apply()
    assert [change.subject for change in outcome.changes] == ["index public.idx_users_kyc_status"]
    refused = [item for item in outcome.findings if item.subject == "unique constraint public.users.users_email_key"]
    assert "same" in refused[0].problem
    stage.run("DELETE FROM users")
    assert mended(stage) == ["create unique constraint public.users.users_email_key"]


def test_orphans_of_a_lost_foreign_key_are_reported_and_new_ones_refused(stage: Stage) -> None:
    stage.run(
        "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey",
        "INSERT INTO wallets (user_id, circle_wallet_id, chain_id, chain_name) VALUES (7, 'w', 1, 'ETH')",
    )
    outcome = stage.apply()
    assert [change.action for change in outcome.changes] == ["create"]
    assert any("violates foreign key" in item.problem for item in outcome.findings)
    with pytest.raises(Exception, match="violates foreign key"):
        stage.run("INSERT INTO wallets (user_id, circle_wallet_id, chain_id, chain_name) VALUES (8, 'x', 1, 'ETH')")


@pytest.fixture
def large(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The same with a limit below which nothing is small, so that a few rows count as a large table."""
    for module in ("indexes", "constraints", "schema"):
        monkeypatch.setattr(f"infra.postgres.{module}.SMALL_TABLE", 0)
    stage.run("INSERT INTO users (email, first_name, last_name, country_code) VALUES ('a', 'A', 'B', 'KR')")
    return stage


LARGE = {
    "a dropped index": (["DROP INDEX idx_users_kyc_status"], ["create index public.idx_users_kyc_status"]),
    "a dropped key": (
        ["ALTER TABLE users DROP CONSTRAINT users_email_key"],
        ["create index public.users_email_key", "create unique constraint public.users.users_email_key"],
    ),
    "a key with other columns": (
        ["ALTER TABLE users DROP CONSTRAINT users_email_key, ADD CONSTRAINT users_email_key UNIQUE (email, phone)"],
        [
            "drop unique constraint public.users.users_email_key",
            "create index public.users_email_key",
            "create unique constraint public.users.users_email_key",
        ],
    ),
    "a key whose index an interrupted run left": (
        ["ALTER TABLE users DROP CONSTRAINT users_email_key", "CREATE UNIQUE INDEX users_email_key ON users (email)"],
        ["create unique constraint public.users.users_email_key"],
    ),
    "a dropped primary key": (
        ["ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE"],
        [
            "create index public.users_pkey",
            "create primary key public.users.users_pkey",
            "create foreign key public.kyc_documents.kyc_documents_user_id_fkey",
            "validate foreign key public.kyc_documents.kyc_documents_user_id_fkey",
            "create foreign key public.transactions.transactions_user_id_fkey",
            "validate foreign key public.transactions.transactions_user_id_fkey",
            "create foreign key public.wallets.wallets_user_id_fkey",
            "validate foreign key public.wallets.wallets_user_id_fkey",
        ],
    ),
    "a nullable column": (
        ["ALTER TABLE users ALTER COLUMN first_name DROP NOT NULL"],
        ["alter column public.users.first_name"],
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_table_is_put_back_while_writers_go_on(large: Stage, name: str) -> None:
    statements, expected = LARGE[name]
    large.run(*statements)
    assert mended(large) == expected


def test_an_index_that_was_left_invalid_is_built_again(stage: Stage) -> None:
    _invalidate(stage, "idx_users_kyc_status")
    assert mended(stage) == ["drop index public.idx_users_kyc_status", "create index public.idx_users_kyc_status"]


def test_an_invalid_index_of_a_large_table_is_built_again(large: Stage) -> None:
    _invalidate(large, "idx_users_kyc_status")
    assert mended(large) == ["drop index public.idx_users_kyc_status", "create index public.idx_users_kyc_status"]


def _invalidate(stage: Stage, index: str) -> None:
    """As CREATE INDEX CONCURRENTLY leaves it when it is killed."""
    stage.ask("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass RETURNING 1", index)


def test_the_plan_is_pure(stage: Stage, finished: Stage) -> None:
    with finished.connect() as connection:
        declared = read(connection)
    stage.run("DROP INDEX idx_users_kyc_status")
    with stage.connect() as connection:
        facts = read(connection)
    declaration = SchemaDeclaration(declared)
    first, second = schema.plan(facts, declaration), schema.plan(facts, declaration)
    assert first == second
    assert len(first) == 1
    assert schema.plan(declared, declaration) == []
