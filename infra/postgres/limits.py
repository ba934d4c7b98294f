"""Known limits of the documented schema: nothing is broken yet, and each finding has a remedy."""

from __future__ import annotations

from infra.changes import Finding, Severity
from infra.postgres.facts import Catalog

FINANCIAL_TABLES = frozenset({"wallets", "transactions", "kyc_documents"})
"""Tables whose rows may have to be kept for legal or audit reasons after the user is deleted."""

LARGEST_INTEGER = 2**31 - 1

_TOO_NARROW = {
    ("wallets", "wallet_address"): 42,
    ("transactions", "source_address"): 42,
    ("transactions", "target_address"): 42,
    ("transactions", "transaction_hash"): 66,
}
"""Column -> documented width. An EVM address is 42 characters and a transaction's hash 66; a Solana address is 32 to
44 and a signature 87 or 88 (base58 of 32 and 64 bytes)."""


_SOLANA = {42: ("address (up to 44 characters)", 44), 66: ("signature (up to 88 characters)", 88)}


def findings(catalog: Catalog) -> list[Finding]:
    """ON DELETE CASCADE on financial records, 31-bit keys, and columns too narrow for Solana. Pure."""
    return [*_cascades(catalog), *_keys(catalog), *_narrow(catalog)]


def _cascades(catalog: Catalog) -> list[Finding]:
    return [
        Finding(
            subject=f"foreign key {item.schema}.{item.table}.{item.name}",
            problem=f"ON DELETE CASCADE: deleting a row of {item.references} deletes its rows in {item.table}",
            cost="financial records are lost with the user, without a trace",
            remedy="deactivate users (is_active) instead of deleting them, or add a migration that makes it "
            "ON DELETE RESTRICT",
            severity=Severity.NOTE,
        )
        for item in catalog.constraints
        if item.kind == "f" and item.table in FINANCIAL_TABLES and "ON DELETE CASCADE" in item.definition
    ]


def _keys(catalog: Catalog) -> list[Finding]:
    found = []
    for item in catalog.sequences:
        if item.type != "integer" or not item.owned_by:
            continue
        schema, table, column = item.owned_by.split(".")
        found.append(
            Finding(
                subject=f"sequence {item.schema}.{item.name}",
                # No live counter: a finding that changes by itself would be a difference in every `up`.
                problem=f"ends at 2^31 - 1, then every insert into {table} fails{_warned(item.last_value or 0)}",
                remedy="well before that (`circlepay monitor --query sequence_use`), add a migration that makes "
                f"{schema}.{table}.{column} and the columns that reference it bigint (it rewrites the table)",
                severity=Severity.WARNING if _warned(item.last_value or 0) else Severity.NOTE,
            )
        )
    return found


def _warned(used: int) -> str:
    reached = [share for share in (50, 75, 90) if used * 100 >= share * LARGEST_INTEGER]
    return f"; more than {reached[-1]} % used" if reached else ""


def _narrow(catalog: Catalog) -> list[Finding]:
    return [
        Finding(
            subject=f"column {item.schema}.{item.table}.{item.name}",
            problem=f"{item.type} cannot hold a Solana {_SOLANA[width][0]}",
            remedy=f"before Solana is used, add a migration: ALTER TABLE {item.schema}.{item.table} "
            f"ALTER COLUMN {item.name} TYPE varchar({_SOLANA[width][1]}); it rewrites no rows",
            severity=Severity.NOTE,
        )
        for item in catalog.columns
        if (width := _TOO_NARROW.get((item.table, item.name))) and item.type == f"character varying({width})"
    ]
