"""Compares models and schema by Alembic's autogenerate, with types and server defaults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Index

from app_stub.models import Base

REDUNDANT = frozenset(
    {
        "idx_users_email",
        "idx_users_phone",
        "idx_users_circle_wallet_id",
        "idx_users_circle_entity_id",
        "idx_users_circle_wallet_set_id",
        "idx_wallets_user_id",
        "idx_wallets_circle_wallet_id",
        "idx_transactions_transaction_id",
        "idx_transactions_transaction_hash",
    }
)
"""Indexes covered by the index of a unique constraint: a stack may drop them without effect on the application."""


def differences(connection: Connection) -> list[str]:
    """What would have to change in the schema to match the models, one line each; empty when they agree."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    operations = list(_flat(compare_metadata(context, Base.metadata)))
    removed = {item.name for kind, item, *_ in operations if kind == "remove_index"}
    return [_described(operation) for operation in operations if not _tolerated(operation, removed)]


def _flat(operations: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Alembic groups the operations on one table's columns in a nested list."""
    for operation in operations:
        if isinstance(operation, list):
            yield from operation
        else:
            yield operation


def _tolerated(operation: tuple[Any, ...], removed: set[str | None]) -> bool:
    kind, item = operation[0], operation[1]
    absent = kind == "add_index" and isinstance(item, Index) and item.name not in removed
    return absent and item.name in REDUNDANT


def _described(operation: tuple[Any, ...]) -> str:
    kind = operation[0]
    if kind.startswith("modify_"):
        _, _, table, column, _, observed, declared = operation
        what = kind.removeprefix("modify_").replace("default", "server default")
        return f"{table}.{column}: {what} is {_plain(observed)}, the model says {_plain(declared)}"
    verb, _, noun = kind.partition("_")
    if noun == "column":
        return f"{operation[2]}.{operation[3].name}: {'missing' if verb == 'add' else 'unknown to the model'}"
    item = operation[1]
    place = f" on {item.table.name}" if getattr(item, "table", None) is not None else ""
    state = "missing or different" if verb == "add" else "unknown to the model or different"
    return f"{noun} {item.name or ''}{place}: {state}"


def _plain(value: object) -> str:
    if value in (None, False):
        return "absent"
    return str(getattr(value, "arg", value))
