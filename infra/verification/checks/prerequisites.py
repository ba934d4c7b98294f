"""The tables and columns that a check needs: a missing one is reported once, not once per check."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from infra.verification.checks.expected import CONSTRAINTS, INDEXES, SEQUENCES, TABLES

_REFERENCE = re.compile(r"REFERENCES (\w+)\((\w+)\)")
ON_TRANSACTIONS = ("test_currency_of_a_transaction", "test_amounts_keep_six_decimals")
"""Behaviour checks on `transactions` that do not name the table in a parameter."""


def prerequisites(group: str, function: str, parameters: Iterable[object]) -> set[str]:
    """`table` and `table.column` for each that the check needs, without the object that it checks itself.

    group: behaviour, schema, privileges. parameters: those of the check; strings that name an object are used.
    """
    if function == "test_table":
        return set()
    found = {name for value in parameters if isinstance(value, str) for name in _of(value)}
    if group == "behaviour":
        # Every row of the other tables belongs to a user.
        found |= {"users", "transactions"} if function in ON_TRANSACTIONS else {"users"}
    return found


def _of(name: str) -> Iterator[str]:
    table, _, member = name.partition(".")
    if table in TABLES:
        yield table
        definition = CONSTRAINTS[table].get(member, "")
        yield from _columns(table, definition.partition("(")[2].partition(")")[0])
        for other, column in _REFERENCE.findall(definition):
            yield from (other, f"{other}.{column}")
    elif name in INDEXES:
        yield INDEXES[name].table
        yield from _columns(INDEXES[name].table, INDEXES[name].columns)
    elif name in SEQUENCES:
        _, table, column = SEQUENCES[name].split(".")
        yield from (table, f"{table}.{column}")


def _columns(table: str, listed: str) -> Iterator[str]:
    yield from (f"{table}.{column.strip()}" for column in listed.split(",") if column.strip())


def missing(names: Iterable[str], tables: Collection[str], columns: Collection[str]) -> list[str]:
    """The names that are not among the existing tables and columns (`table.column`), sorted."""
    return sorted(name for name in names if name not in (columns if "." in name else tables))
