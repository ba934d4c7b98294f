"""The schema behaves as documented for the application, tested with rows that are never committed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from psycopg import sql

from infra.verification.checks.expectation import expect, expect_that
from infra.verification.checks.observations import Connection, attempt

ROW, OTHER_ROW = (-1 - number for number in secrets.SystemRandom().sample(range(2**31 - 1), 2))
"""Ids of the test rows: negative, so that no sequence advances, and random, so that concurrent runs do not block."""
OLD = datetime(2000, 1, 1, tzinfo=UTC)
MINIMAL: dict[str, dict[str, Any]] = {
    "users": {"first_name": "Veri", "last_name": "Fication", "country_code": "KR"},
    "wallets": {"chain_id": 1, "chain_name": "verification"},
    "transactions": {"transaction_type": "send", "amount": Decimal("1.5")},
    "kyc_documents": {"document_type": "passport"},
}
"""Values for the NOT NULL columns, except unique ones and references."""
UNIQUE_COLUMN = {"users": "email", "wallets": "circle_wallet_id", "transactions": "transaction_id"}
DEFAULTS: dict[str, dict[str, Any]] = {
    "users": {
        "preferred_currency": "USDC",
        "is_verified": False,
        "is_active": True,
        "kyc_status": "pending",
        "kyc_level": 1,
    },
    "wallets": {"usdc_balance": Decimal(0), "is_active": True},
    "transactions": {"status": "pending", "currency": "USDC"},
    "kyc_documents": {"verification_status": "pending"},
}
UNIQUENESS: dict[str, dict[str, Any]] = {
    "users.email": {"email": "same"},
    "users.phone": {"phone": "same"},
    "wallets.user_id and chain_id": {"chain_id": 1},
    "transactions.transaction_hash": {"transaction_hash": "same"},
}


UNIQUE_VIOLATION, FOREIGN_KEY_VIOLATION = "23505", "23503"


def refused(state: str | None, wanted: str, what: str) -> None:
    """Raises MismatchError unless the attempt failed with the SQLSTATE `wanted`."""
    outcome = "it was accepted" if state is None else f"the attempt failed with SQLSTATE {state}"
    expect_that(state == wanted, f"{what} is refused (SQLSTATE {wanted})", outcome, "run `make up`")


@pytest.fixture
def rows(application: Connection) -> Iterator[Connection]:
    """The application's connection inside a transaction that is rolled back."""
    with application.transaction(force_rollback=True):
        yield application


def insertion(table: str, **values: Any) -> sql.Composed:
    """Inserts a row of the user ROW with minimal values and these."""
    row: dict[str, Any] = {"id": ROW, **MINIMAL[table]}
    if table in UNIQUE_COLUMN:
        row[UNIQUE_COLUMN[table]] = f"circlepay-verification-{secrets.token_hex(12)}"
    if table != "users":
        row["user_id"] = ROW
    row.update(values)
    return sql.SQL("INSERT INTO public.{} ({}) VALUES ({}) RETURNING *").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Literal, row.values())),
    )


def insert(connection: Connection, table: str, **values: Any) -> dict[str, Any]:
    """The row that `insertion` inserts, as stored."""
    stored = connection.execute(insertion(table, **values)).fetchone()
    assert stored is not None
    return stored


@pytest.mark.parametrize("table", DEFAULTS)
def test_defaults(rows: Connection, table: str) -> None:
    if table != "users":
        insert(rows, "users")
    stored = insert(rows, table)
    now = rows.execute("SELECT CURRENT_TIMESTAMP AS created_at").fetchone() or {}
    declared = {**DEFAULTS[table], **now}
    # A missing column is a failed check of its own.
    expect(
        {name: stored[name] for name in declared if name in stored},
        {name: declared[name] for name in declared if name in stored},
    )


def test_currency_of_a_transaction(rows: Connection) -> None:
    insert(rows, "users")
    expect(insert(rows, "transactions")["currency"], "USDC", "apply the migration that widens transactions.currency")


@pytest.mark.parametrize("table", ["users", "wallets", "kyc_documents"])
def test_updated_at(rows: Connection, table: str) -> None:
    insert(rows, "users", updated_at=OLD)
    if table != "users":
        insert(rows, table, updated_at=OLD)
    statement = sql.SQL("UPDATE public.{} SET created_at = created_at WHERE id = %s RETURNING updated_at, now() AS now")
    row = rows.execute(statement.format(sql.Identifier(table)), [ROW]).fetchone()
    assert row is not None
    expect(row["updated_at"], row["now"], "the trigger did not fire: run `make up`")


@pytest.mark.parametrize("what", UNIQUENESS)
def test_unique(rows: Connection, what: str) -> None:
    table = what.partition(".")[0]
    # Random, because an equal value in another open transaction would block this insert.
    values = {name: secrets.token_hex(8) if value == "same" else value for name, value in UNIQUENESS[what].items()}
    insert(rows, "users", **(values if table == "users" else {}))
    if table != "users":
        insert(rows, table, **values)
    refused(
        attempt(rows, insertion(table, **{"id": OTHER_ROW, **values})), UNIQUE_VIOLATION, "a second row with its value"
    )


@pytest.mark.parametrize("table", ["wallets", "transactions", "kyc_documents"])
def test_needs_its_user(rows: Connection, table: str) -> None:
    refused(attempt(rows, insertion(table)), FOREIGN_KEY_VIOLATION, "a row without its user")


@pytest.mark.parametrize("table", ["wallets", "transactions", "kyc_documents"])
def test_goes_with_its_user(rows: Connection, table: str) -> None:
    insert(rows, "users")
    insert(rows, table)
    rows.execute("DELETE FROM public.users WHERE id = %s", [ROW])
    query = sql.SQL("SELECT id FROM public.{} WHERE user_id = %s").format(sql.Identifier(table))
    left = rows.execute(query, [ROW]).fetchall()
    expect(left, [], "the documented ON DELETE CASCADE is missing: run `make up`")


def test_amounts_keep_six_decimals(rows: Connection) -> None:
    insert(rows, "users")
    amount = Decimal("123456789012.345678")
    stored = insert(rows, "transactions", amount=amount)
    expect_that(stored["amount"] == amount, f"{amount} is stored as it is", stored["amount"])
