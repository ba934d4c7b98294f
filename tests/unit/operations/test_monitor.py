"""Every query answers on a real server, says how to read it, and shows what it is for."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis

from infra.errors import SettingsError
from infra.operations import clients, monitor
from infra.operations.monitor import Table, efficiency, queries
from infra.operations.stack import StackView
from tests.support import live_servers
from tests.unit.operations.conftest import Servers

QUERY_NAMES = [
    "active_connections",
    "blocked_sessions",
    "cache_hit_ratio",
    "connections",
    "database_health",
    "index_usage",
    "long_transactions",
    "redundant_indexes",
    "replication_slots",
    "sequence_use",
    "table_sizes",
    "vacuum_need",
]
REDIS_NAMES = [
    "info_server",
    "info_memory",
    "info_clients",
    "info_stats",
    "dbsize",
    "efficiency",
    "keyspace",
    "client_list",
]


def answer(view: StackView, name: str) -> Table:
    found = {table.name: table for table in monitor.run(view, ["postgres", "redis"])}
    return found[name]


def rows(view: StackView, name: str) -> list[dict[str, Any]]:
    return list(answer(view, name).as_dict()["rows"])


def test_every_query_is_there() -> None:
    assert [query.name for query in queries()] == QUERY_NAMES


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.name)
def test_query_says_what_it_shows_and_how_to_read_it(query: monitor.Query) -> None:
    assert 20 < len(query.title) < 140
    assert len(query.reading) > 60
    code = [line for line in query.statement.splitlines() if not line.startswith("--")]
    assert "\n".join(code).count(";") == 1


def test_every_answer_comes_without_a_problem(view: StackView) -> None:
    found = monitor.run(view, ["postgres", "redis"])
    assert [table.name for table in found] == QUERY_NAMES + REDIS_NAMES
    assert {table.name: table.problem for table in found if table.problem} == {}
    json.dumps([table.as_dict() for table in found])


@pytest.mark.parametrize("name", QUERY_NAMES)
def test_psql_runs_the_file(servers: Servers, view: StackView, name: str) -> None:
    argv = clients.psql_argv(
        servers.postgres.programs / "psql", view.admin_login(), ["-v", "ON_ERROR_STOP=1", "-X", "-f"]
    )
    handle = clients.open_password_file(view.admin_login())
    done = subprocess.run(
        [*argv, str(monitor.QUERIES / f"{name}.sql")],
        env={"PGPASSFILE": f"/dev/fd/{handle}"},
        pass_fds=[handle],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_older_server_answers_every_query() -> None:
    programs = live_servers.debian_postgres()
    with live_servers.postgres(programs) as server:
        live_servers.create_database(server)
        with live_servers.connect(server) as connection:
            for query in queries():
                connection.execute(query.statement.encode())


@contextmanager
def _session(servers: Servers, *statements: str) -> Iterator[psycopg.Connection]:
    with live_servers.connect(servers.postgres) as connection:
        connection.autocommit = False
        for statement in statements:
            connection.execute(statement.encode())
        yield connection
        connection.rollback()


@contextmanager
def _changed(servers: Servers, change: str, undo: str) -> Iterator[None]:
    with live_servers.connect(servers.postgres) as connection:
        connection.execute(change.encode())
        try:
            yield
        finally:
            connection.execute(undo.encode())


def test_active_connections_count_running_statements(view: StackView, servers: Servers) -> None:
    assert rows(view, "active_connections") == [{"active": 0}]
    with _session(servers, "SELECT 1") as connection:
        sleeper = threading.Thread(target=lambda: connection.execute("SELECT pg_sleep(1.5)"))
        sleeper.start()
        seen = rows(view, "active_connections")
        sleeper.join()
    assert seen == [{"active": 1}]


def test_connections_are_counted_against_what_is_usable(view: StackView, servers: Servers) -> None:
    with _session(servers, "SELECT 1"):
        found = rows(view, "connections")
    idle = next(row for row in found if row["state"] == "idle in transaction")
    assert idle["sessions"] == 1
    assert idle["usable_connections"] == 40 - 3
    assert idle["percent_of_limit"] == pytest.approx(100 * idle["sessions_in_all"] / 37, abs=0.1)


def test_table_sizes_work_on_names_in_mixed_case(view: StackView, servers: Servers) -> None:
    with _changed(servers, 'CREATE TABLE "Odd Name" (id int PRIMARY KEY)', 'DROP TABLE "Odd Name"'):
        found = {row["table"] for row in rows(view, "table_sizes")}
    assert {"users", "wallets", "transactions", "kyc_documents", "Odd Name"} <= found


def test_index_usage_counts_scans(view: StackView, servers: Servers) -> None:
    with live_servers.connect(servers.postgres) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SELECT * FROM users WHERE kyc_status = 'pending'")
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
    found = {row["index"]: row for row in rows(view, "index_usage")}
    assert found["idx_users_kyc_status"]["idx_scan"] >= 1
    assert found["users_email_key"]["enforces"] is True
    assert len([row for row in found.values() if row["schema"] == "public"]) == 35


def test_redundant_indexes_are_the_nine(view: StackView) -> None:
    found = {row["index"]: row["covered_by"] for row in rows(view, "redundant_indexes")}
    assert found == {
        "idx_users_email": "users_email_key",
        "idx_users_phone": "users_phone_key",
        "idx_users_circle_wallet_id": "users_circle_wallet_id_key",
        "idx_users_circle_entity_id": "users_circle_entity_id_key",
        "idx_users_circle_wallet_set_id": "users_circle_wallet_set_id_key",
        "idx_wallets_circle_wallet_id": "wallets_circle_wallet_id_key",
        "idx_wallets_user_id": "uq_user_chain",
        "idx_transactions_transaction_id": "transactions_transaction_id_key",
        "idx_transactions_transaction_hash": "transactions_transaction_hash_key",
    }


@pytest.mark.parametrize(
    "definition",
    [
        "CREATE INDEX odd ON wallets (chain_id) WHERE is_active",
        "CREATE INDEX odd ON wallets (lower(chain_name))",
        "CREATE INDEX odd ON wallets (chain_id DESC)",
        "CREATE INDEX odd ON wallets USING hash (chain_id)",
        "CREATE INDEX odd ON wallets (chain_id, user_id)",
    ],
)
def test_index_that_differs_in_kind_is_not_redundant(view: StackView, servers: Servers, definition: str) -> None:
    with _changed(servers, definition, "DROP INDEX odd"):
        found = {row["index"] for row in rows(view, "redundant_indexes")}
    assert "odd" not in found


def test_twin_indexes_are_listed_once(view: StackView, servers: Servers) -> None:
    with _changed(servers, "CREATE INDEX twin ON users (kyc_status)", "DROP INDEX twin"):
        found = {row["index"]: row["covered_by"] for row in rows(view, "redundant_indexes")}
    assert found["twin"] == "idx_users_kyc_status"
    assert "idx_users_kyc_status" not in found


def test_long_transactions_show_who_is_idle_in_one(view: StackView, servers: Servers) -> None:
    with _session(servers, "SET application_name = 'forgotten'", "SELECT 1") as connection:
        found = [row for row in rows(view, "long_transactions") if row["pid"] == connection.info.backend_pid]
    assert found[0]["application"] == "forgotten"
    assert found[0]["state"] == "idle in transaction"


def test_blocked_session_names_its_blocker(view: StackView, servers: Servers) -> None:
    with _session(servers, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE") as holder, _session(servers) as waiter:
        waiter.execute("SET LOCAL lock_timeout = '5s'")
        blocker = holder.info.backend_pid
        thread = threading.Thread(target=lambda: _ignore_timeout(waiter))
        thread.start()
        found: list[dict[str, Any]] = []
        for _ in range(50):
            found = rows(view, "blocked_sessions")
            if found:
                break
        holder.rollback()
        thread.join()
    assert found[0]["blocked_by"] == [blocker]
    assert found[0]["on_what"] == "users"


def test_locked_table_costs_one_answer_and_a_moment(view: StackView, servers: Servers) -> None:
    with _session(servers, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE"):
        began = time.monotonic()
        found = monitor.run(view, ["postgres", "redis"])
        seconds = time.monotonic() - began
    assert [table.name for table in found] == QUERY_NAMES + REDIS_NAMES
    problems = {table.name: table.problem for table in found if table.problem}
    assert problems == {"table_sizes": "it waited 3 s for a lock; long_transactions shows which sessions may hold it"}
    assert seconds < 10
    holders = next(table.as_dict()["rows"] for table in found if table.name == "long_transactions")
    assert [row["statement"] for row in holders] == ["LOCK TABLE users IN ACCESS EXCLUSIVE MODE"]


def _ignore_timeout(connection: psycopg.Connection) -> None:
    try:
        connection.execute("SELECT count(*) FROM users")
    except psycopg.errors.LockNotAvailable:
        return


def test_sequence_use_is_measured_against_the_column(view: StackView, servers: Servers) -> None:
    half, none = "SELECT setval('transactions_id_seq', 1073741824)", "SELECT setval('transactions_id_seq', 1, false)"
    with _changed(servers, half, none):
        found = {row["sequence"]: row for row in rows(view, "sequence_use")}
    assert found["transactions_id_seq"]["percent_used"] == 50
    assert found["transactions_id_seq"]["used_by"] == "transactions.id"
    assert found["transactions_id_seq"]["limit"] == 2**31 - 1
    assert {"users_id_seq", "wallets_id_seq", "kyc_documents_id_seq"} <= set(found)


def test_wide_sequence_behind_a_narrow_column_is_measured_against_the_column(view: StackView, servers: Servers) -> None:
    made = "CREATE TABLE narrow (id smallint); CREATE SEQUENCE wide AS bigint OWNED BY narrow.id"
    with _changed(servers, made, "DROP TABLE narrow"):
        found = {row["sequence"]: row["limit"] for row in rows(view, "sequence_use")}
    assert found["wide"] == 2**15 - 1


def test_replication_slot_that_nobody_uses_is_shown(view: StackView, servers: Servers) -> None:
    made, dropped = "pg_create_physical_replication_slot('lost', true)", "pg_drop_replication_slot('lost')"
    with _changed(servers, f"SELECT {made}", f"SELECT {dropped}"):
        found = rows(view, "replication_slots")
    assert [(row["slot_name"], row["active"]) for row in found] == [("lost", False)]


def test_health_and_vacuum_rows_are_of_this_database(view: StackView) -> None:
    assert [row["database"] for row in rows(view, "database_health")] == [live_servers.DATABASE]
    assert {row["table"] for row in rows(view, "vacuum_need")} >= {"users", "wallets"}
    assert {row["kind"] for row in rows(view, "cache_hit_ratio")} == {"tables", "indexes"}


def test_redis_keys_hits_and_clients_are_counted(view: StackView, servers: Servers) -> None:
    with redis.Redis(port=servers.cache.port, password=servers.cache.password, client_name="somebody") as client:
        client.set("a", "1", ex=60)
        client.get("a")
        client.get("b")
        try:
            found = {table.name: table.as_dict()["rows"] for table in monitor.run(view, ["redis"])}
        finally:
            client.flushdb()
    assert found["dbsize"] == [{"keys": 1}]
    assert {row["name"] for row in found["client_list"]} >= {"somebody", "circlepay-monitor"}
    assert found["keyspace"][0]["value"].startswith("keys 1, expires 1")
    assert {row["name"] for row in found["info_memory"]} >= {"used_memory", "maxmemory"}
    assert {row["name"] for row in found["info_stats"]} >= {"keyspace_hits", "evicted_keys"}
    assert {row["name"] for row in found["info_clients"]} >= {"connected_clients"}
    assert {row["name"] for row in found["info_server"]} >= {"tcp_port", "uptime_in_seconds"}


@pytest.mark.parametrize(
    ("hits", "misses", "limit", "expected"),
    [(3, 1, 200, (75.0, 25.0)), (0, 0, 0, (None, None)), (0, 5, 100, (0.0, 50.0))],
)
def test_efficiency(hits: int, misses: int, limit: int, expected: tuple[float | None, float | None]) -> None:
    stats = {"evicted_keys": 7, "expired_keys": 2, "rejected_connections": 1}
    found = efficiency(
        {"used_memory": 50, "maxmemory": limit}, stats | {"keyspace_hits": hits, "keyspace_misses": misses}
    )
    assert (found["percent_hit"], found["percent_of_maxmemory"]) == expected
    assert found["evicted_keys"] == 7


def test_monitoring_cannot_write(view: StackView) -> None:
    from infra.operations import connections

    with connections.postgres(view.admin_login()) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("CREATE TABLE x (id int)")


@pytest.mark.parametrize("server", ["postgres", "redis"])
def test_server_that_is_down_is_one_problem(view: StackView, outputs: dict[str, Any], server: str) -> None:
    port = live_servers.free_port()
    for output in ("adminDatabaseUrl", "redisUrl"):
        outputs[output] = outputs[output].replace(f":{outputs[server]['port']}/", f":{port}/")
    found = monitor.run(view, [server])
    assert [table.name for table in found] == ["connection"]
    assert f"127.0.0.1:{port}" in found[0].problem
    assert "`make up` starts it" in found[0].problem


def test_one_query_of_a_name(view: StackView) -> None:
    assert [table.name for table in monitor.run(view, ["postgres", "redis"], ["dbsize", "table_sizes"])] == [
        "table_sizes",
        "dbsize",
    ]


def test_name_nothing_has_is_an_error(view: StackView) -> None:
    with pytest.raises(SettingsError, match="table_size: there is no query of this name"):
        monitor.run(view, ["postgres"], ["table_size"])


def test_durations_of_sessions_are_never_negative(servers: Servers, view: StackView) -> None:
    """A session that began its statement after this query's own transaction: `now()` is earlier than its moment."""
    with psycopg.connect(view.outputs["adminDatabaseUrl"]) as asking:
        asking.execute("BEGIN")
        asking.execute("SELECT pg_stat_clear_snapshot()")
        with psycopg.connect(view.outputs["adminDatabaseUrl"]) as other:
            other.execute("SELECT 1")
            for name, columns in {
                "connections": ("longest_in_state",),
                "long_transactions": ("transaction_age", "statement_age"),
            }.items():
                statement = next(query.statement for query in queries() if query.name == name)
                asking.execute("SELECT pg_stat_clear_snapshot()")
                cursor = asking.execute(statement.encode())
                names = [column.name for column in cursor.description or ()]
                found = [dict(zip(names, row, strict=True)) for row in cursor]
                assert found
                assert [row[column] for row in found for column in columns if row[column] < timedelta(0)] == []
