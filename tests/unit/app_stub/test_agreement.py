"""Models and schema agree; a difference of any kind is told."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from app_stub import agreement
from tests.support import live_servers

DIFFERENCES = {
    "column width": (
        "ALTER TABLE users ALTER COLUMN phone TYPE varchar(30)",
        "users.phone: type is VARCHAR(30), the model says VARCHAR(20)",
    ),
    "column type": (
        "ALTER TABLE wallets ALTER COLUMN usdc_balance TYPE numeric(20, 8)",
        "wallets.usdc_balance: type is NUMERIC(20, 8), the model says NUMERIC(18, 6)",
    ),
    "column nullability": (
        "ALTER TABLE users ALTER COLUMN first_name DROP NOT NULL",
        "users.first_name: nullable is True, the model says absent",
    ),
    "missing column": ("ALTER TABLE kyc_documents DROP COLUMN occupation", "kyc_documents.occupation: missing"),
    "extra column": ("ALTER TABLE users ADD COLUMN nickname text", "users.nickname: unknown to the model"),
    "default": (
        "ALTER TABLE transactions ALTER COLUMN currency SET DEFAULT 'EURC'",
        "transactions.currency: server default is 'EURC'::character varying, the model says USDC",
    ),
    "missing default": (
        "ALTER TABLE users ALTER COLUMN kyc_level DROP DEFAULT",
        "users.kyc_level: server default is absent, the model says 1",
    ),
    "missing index": ("DROP INDEX idx_users_kyc_status", "index idx_users_kyc_status on users: missing or different"),
    "changed index": (
        "DROP INDEX idx_wallets_chain_name; CREATE INDEX idx_wallets_chain_name ON wallets (chain_name, chain_id)",
        "index idx_wallets_chain_name on wallets: missing or different",
    ),
    "changed redundant index": (
        "DROP INDEX idx_users_email; CREATE INDEX idx_users_email ON users (email, phone)",
        "index idx_users_email on users: missing or different",
    ),
    "foreign key": (
        "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey, "
        "ADD CONSTRAINT wallets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id)",
        "fk wallets_user_id_fkey on wallets: missing or different",
    ),
    "missing unique constraint": (
        "ALTER TABLE wallets DROP CONSTRAINT uq_user_chain",
        "constraint uq_user_chain on wallets: missing or different",
    ),
    "missing table": ("DROP TABLE kyc_documents", "table kyc_documents: missing or different"),
    "extra table": ("CREATE TABLE left_over (id int)", "table left_over: unknown to the model or different"),
}


def test_models_and_schema_agree(owner: Engine) -> None:
    with owner.connect() as connection:
        assert agreement.differences(connection) == []


@pytest.mark.parametrize(("statement", "told"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_difference_is_told(owner: Engine, statement: str, told: str) -> None:
    with owner.connect() as connection, connection.begin() as transaction:
        connection.execute(text(statement))
        found = agreement.differences(connection)
        transaction.rollback()
    assert told in found


def test_redundant_indexes_may_be_dropped(owner: Engine) -> None:
    with owner.connect() as connection, connection.begin() as transaction:
        for name in agreement.REDUNDANT:
            connection.execute(text(f"DROP INDEX {name}"))
        found = agreement.differences(connection)
        transaction.rollback()
    assert found == []


def test_redundant_indexes_are_the_ones_monitoring_finds(owner: Engine) -> None:
    query = live_servers.MONITORING / "redundant_indexes.sql"
    with owner.connect() as connection:
        rows = connection.execute(text(query.read_text(encoding="utf-8"))).mappings().all()
    assert {row["index"] for row in rows} == agreement.REDUNDANT
