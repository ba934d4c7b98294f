"""Which tables and columns a check rests on: where one is missing, that is one failure, and not one of each check."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from tests.acceptance.expected import CONSTRAINTS, INDEXES, SEQUENCES, TABLES

_REFERENCE = re.compile(r"REFERENCES (\w+)\((\w+)\)")
ON_TRANSACTIONS = ("test_currency_of_a_transaction", "test_amounts_keep_six_decimals")
"""Checks of behaviour that name their table in no parameter."""


def needs(group: str, function: str, parameters: Iterable[object]) -> set[str]:
    """`table` and `table.column` for each that the check cannot do without; what it looks for itself is none of them.

    group: behaviour, schema, privileges. parameters: those of the check, of which strings that name an object count.
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


def missing(needed: Iterable[str], tables: Collection[str], columns: Collection[str]) -> list[str]:
    """Those of `needed` that are not among the tables and columns (`table.column`) there are."""
    return sorted(name for name in needed if name not in (columns if "." in name else tables))
