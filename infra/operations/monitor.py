"""Runs the monitoring queries of PostgreSQL and Redis once and returns data; the command prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import files
from infra.endpoint import Login
from infra.errors import ServerError, SettingsError
from infra.operations import connections
from infra.operations.stack import StackView
from infra.paths import PROJECT_ROOT

if TYPE_CHECKING:
    from redis import Redis

PAIRS = ("name", "value")
"""Columns of an answer that already has one value per row."""

QUERIES = PROJECT_ROOT / "sql" / "monitoring"


@dataclass(frozen=True)
class Query:
    """One file of sql/monitoring. title: what it shows. reading: how to read it. Both come from its header comment."""

    name: str
    title: str
    reading: str
    statement: str


@dataclass(frozen=True)
class Table:
    """The answer to one query. rows: JSON types, in the order of columns. problem: why there is no answer, else empty."""

    server: str
    name: str
    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    reading: str = ""
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: rows as objects by column."""
        return {
            "server": self.server,
            "name": self.name,
            "title": self.title,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "problem": self.problem,
        }


def queries(folder: Path = QUERIES) -> list[Query]:
    """All queries by name. A header is `-- Title: what it shows` and `-- Read it: how`, each of one or more lines."""
    return [_query(path) for path in sorted(folder.glob("*.sql"))]


def _query(path: Path) -> Query:
    text = files.read_text(path, follow=True)
    comments = " ".join(line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--"))
    title, _, reading = comments.partition("Read it:")
    return Query(path.stem, title.strip(), reading.strip(), text)


def run(view: StackView, servers: Sequence[str], names: Sequence[str] = ()) -> list[Table]:
    """All answers of the given servers (`postgres`, `redis`), or only those of the given names.

    A server that is down is one table with its problem. Raises SettingsError for an unknown name.
    """
    tables: list[Table] = []
    if "postgres" in servers:
        tables += ask_postgres(view.admin_login(), names)
    if "redis" in servers:
        tables += [
            table for table in ask_redis(view.redis_login()) if not names or table.name in names or table.problem
        ]
    known = {table.name for table in tables}
    unknown = [name for name in names if name not in known]
    if unknown and not any(table.problem for table in tables):
        raise SettingsError(
            "monitor", ", ".join(unknown), "there is no query of this name", "`circlepay monitor` lists all of them"
        )
    return tables


def ask_postgres(login: Login, names: Sequence[str] = ()) -> list[Table]:
    """All queries, or those of the given names, on one connection; one that fails does not stop the others."""
    chosen = [query for query in queries() if not names or query.name in names]
    try:
        with connections.postgres(login) as connection:
            return [_answer(connection, query) for query in chosen]
    except ServerError as error:
        return [Table("postgres", "connection", "Connection", problem=error.message)]


def _answer(connection: Any, query: Query) -> Table:
    import psycopg

    try:
        cursor = connection.execute(query.statement.encode())
    except psycopg.Error as error:
        return Table("postgres", query.name, query.title, reading=query.reading, problem=_reason(error))
    columns = tuple(column.name for column in cursor.description)
    rows = tuple(tuple(_plain(value) for value in row) for row in cursor)
    return Table("postgres", query.name, query.title, columns, rows, query.reading)


def _reason(error: Exception) -> str:
    from psycopg.errors import LockNotAvailable

    if isinstance(error, LockNotAvailable):
        return f"it waited {connections.LOCK_SECONDS} s for a lock; long_transactions shows which sessions may hold it"
    return str(error).splitlines()[0]


def ask_redis(login: Login) -> list[Table]:
    """The sections of INFO, the number of keys and the clients; one round trip for all of them."""
    from redis.exceptions import RedisError

    try:
        with connections.redis(login) as client:
            return _redis_tables(client)
    except ServerError as error:
        problem = error.message
    except RedisError as error:
        problem = str(error)
    return [Table("redis", "connection", "Connection", problem=problem)]


def _redis_tables(client: Redis) -> list[Table]:
    pipeline = client.pipeline(transaction=False)
    for section in ("server", "memory", "clients", "stats", "keyspace"):
        pipeline.info(section)
    pipeline.dbsize()
    pipeline.client_list()
    server, memory, clients, stats, keyspace, keys, sessions = pipeline.execute()
    return [
        _pairs("info_server", "Server: version, process and uptime", server),
        _pairs("info_memory", "Memory: what is used, and the limit", memory),
        _pairs("info_clients", "Clients: how many, and how many are blocked", clients),
        _pairs("info_stats", "Statistics: commands, hits and misses, evictions", stats),
        Table("redis", "dbsize", "Number of keys", ("keys",), ((keys,),)),
        _pairs(
            "efficiency",
            "Hit ratio, evictions and memory against its limit, computed from the above",
            efficiency(memory, stats),
        ),
        _pairs(
            "keyspace",
            "Keys, and keys that expire, by database",
            {name: _line(value) for name, value in keyspace.items()},
        ),
        _client_list(sessions),
    ]


def efficiency(memory: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, Any]:
    """Ratios in percent, None where there is nothing to divide by; evictions as a count since the start."""
    hits, misses = int(stats["keyspace_hits"]), int(stats["keyspace_misses"])
    limit = int(memory["maxmemory"])
    return {
        "percent_hit": round(100 * hits / (hits + misses), 2) if hits + misses else None,
        "percent_of_maxmemory": round(100 * int(memory["used_memory"]) / limit, 2) if limit else None,
        "evicted_keys": int(stats["evicted_keys"]),
        "expired_keys": int(stats["expired_keys"]),
        "rejected_connections": int(stats["rejected_connections"]),
    }


def _pairs(name: str, title: str, values: Mapping[str, Any]) -> Table:
    return Table("redis", name, title, PAIRS, tuple((key, _plain(value)) for key, value in values.items()))


def _client_list(sessions: Sequence[Mapping[str, str]]) -> Table:
    columns = ("id", "addr", "name", "user", "age", "idle", "db", "cmd", "tot-mem")
    rows = tuple(tuple(session.get(column, "") for column in columns) for session in sessions)
    return Table("redis", "client_list", "Connected clients; age and idle in seconds", columns, rows)


def _line(value: object) -> str:
    return ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, Mapping) else str(value)


def _plain(value: object) -> Any:
    """A value of PostgreSQL or Redis as a JSON type; timestamps in ISO 8601 and UTC, durations as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, timedelta):
        return str(value - timedelta(microseconds=value.microseconds))
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return _line(value)
    if value is None or isinstance(value, str | int | float | list):
        return value
    return str(value)
