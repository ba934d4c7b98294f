"""Every monitoring answer in one line: what to look at first, on one screen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.operations.monitor import PAIRS, Table

Row = Mapping[str, Any]
Rows = list[Row]


@dataclass(frozen=True)
class Line:
    """One answer. attention: somebody should look at it."""

    server: str
    name: str
    text: str
    attention: bool = False


def lines(tables: Iterable[Table]) -> list[Line]:
    """A line for each answer, in their order."""
    return [_line(table) for table in tables]


def _line(table: Table) -> Line:
    if table.problem:
        return Line(table.server, table.name, table.problem, attention=True)
    if not table.rows:
        return Line(table.server, table.name, "nothing")
    rows = [dict(table.rows)] if table.columns == PAIRS else table.as_dict()["rows"]
    say = SAYS.get(table.name)
    text, attention = say(rows) if say else (f"{len(table.rows)} {'row' if len(table.rows) == 1 else 'rows'}", False)
    return Line(table.server, table.name, text, attention)


def _most(rows: Rows, column: str) -> tuple[Row, float]:
    """The row with the most in a column, and how much that is; what is unknown counts as nothing."""
    row = max(rows, key=lambda row: row[column] or 0)
    return row, float(row[column] or 0)


def _connections(rows: Rows) -> tuple[str, bool]:
    row = rows[0]
    used = row["percent_of_limit"] or 0
    return f"{row['sessions_in_all']} of {row['usable_connections']} ({used} %)", used > 80


def _long_transactions(rows: Rows) -> tuple[str, bool]:
    return f"{len(rows)} open, the oldest for {rows[0]['transaction_age']} ({rows[0]['role']})", False


def _tables(rows: Rows) -> tuple[str, bool]:
    largest, _ = _most(rows, "total_bytes")
    return f"{len(rows)} tables, the largest {largest['table']} with {largest['total']}", False


def _sequences(rows: Rows) -> tuple[str, bool]:
    row, used = _most(rows, "percent_used")
    return f"{row['sequence']} has used most: {used:g} %", used > 70


def _vacuum(rows: Rows) -> tuple[str, bool]:
    row, dead = _most(rows, "dead_rows")
    _, near = _most(rows, "percent_to_wraparound")
    return f"most dead rows: {dead:.0f} in {row['table']}; {near:g} % to wraparound", near > 50


def _hits(rows: Rows) -> tuple[str, bool]:
    found = ((str(row["kind"]), row["percent_hit"]) for row in rows)
    return ", ".join(f"{kind} {'-' if share is None else f'{share:g} %'}" for kind, share in found), False


def _health(rows: Rows) -> tuple[str, bool]:
    row = rows[0]
    failures = row.get("checksum_failures") or 0
    text = f"{row['size']}, {row['commits']} commits, {row['rollbacks']} rollbacks, {row['deadlocks']} deadlocks"
    return text + (f", {failures} checksum failures" if failures else ""), bool(failures)


def _redis_memory(rows: Rows) -> tuple[str, bool]:
    return f"{rows[0]['used_memory_human']} of {rows[0]['maxmemory_human']}", False


def _efficiency(rows: Rows) -> tuple[str, bool]:
    row = rows[0]
    hit = "-" if row["percent_hit"] is None else f"{row['percent_hit']:g} %"
    return f"hits {hit}, {row['evicted_keys']} evicted, {row['rejected_connections']} rejected", False


def _counted(one: str, many: str, *, attention: bool = False) -> Callable[[Rows], tuple[str, bool]]:
    return lambda rows: (f"{len(rows)} {one if len(rows) == 1 else many}", attention)


SAYS: dict[str, Callable[[Rows], tuple[str, bool]]] = {
    "active_connections": lambda rows: (f"{rows[0]['active']} running a statement", False),
    "blocked_sessions": _counted("session waits for a lock", "sessions wait for locks", attention=True),
    "cache_hit_ratio": _hits,
    "connections": _connections,
    "database_health": _health,
    "index_usage": _counted("index", "indexes"),
    "long_transactions": _long_transactions,
    "redundant_indexes": _counted("index that another covers", "indexes that others cover"),
    "replication_slots": _counted("slot", "slots"),
    "sequence_use": _sequences,
    "table_sizes": _tables,
    "vacuum_need": _vacuum,
    "info_server": lambda rows: (f"{rows[0]['redis_version']}, up {rows[0]['uptime_in_seconds']} s", False),
    "info_memory": _redis_memory,
    "info_clients": lambda rows: (f"{rows[0]['connected_clients']} connected", False),
    "info_stats": lambda rows: (f"{rows[0]['total_commands_processed']} commands", False),
    "dbsize": lambda rows: (f"{rows[0]['keys']} keys", False),
    "efficiency": _efficiency,
    "keyspace": lambda rows: ("; ".join(f"{name}: {value}" for name, value in rows[0].items()), False),
    "client_list": _counted("client", "clients"),
}
"""By query: its line, and whether somebody should look."""
