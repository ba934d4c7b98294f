"""Every promise the stand-in proves, kept and broken."""

from __future__ import annotations

import psycopg
import pytest
import redis
from psycopg import sql

from app_stub import checks
from app_stub.environment import Environment
from tests.support import live_servers
from tests.unit.app_stub.conftest import Services

NAMES = [
    "environment",
    "database url",
    "database",
    "role",
    "schema",
    "users",
    "wallets",
    "unique user and chain",
    "transactions",
    "kyc documents",
    "users.updated_at",
    "wallets.updated_at",
    "kyc_documents.updated_at",
    "nothing left behind",
    "redis url",
    "redis",
    "cached balance",
]

BREAKAGES = {
    "wallets": (
        "ALTER TABLE wallets ALTER usdc_balance SET DEFAULT 1",
        "ALTER TABLE wallets ALTER usdc_balance SET DEFAULT 0",
    ),
    "users": (
        "ALTER TABLE users ALTER preferred_currency SET DEFAULT 'EURC'",
        "ALTER TABLE users ALTER preferred_currency SET DEFAULT 'USDC'",
    ),
    "unique user and chain": (
        "ALTER TABLE wallets DROP CONSTRAINT uq_user_chain",
        "ALTER TABLE wallets ADD CONSTRAINT uq_user_chain UNIQUE (user_id, chain_id)",
    ),
    "transactions": (
        "ALTER TABLE transactions ALTER currency TYPE varchar(3)",
        "ALTER TABLE transactions ALTER currency TYPE varchar(10)",
    ),
    "kyc documents": (
        "REVOKE INSERT ON kyc_documents FROM circlepay_user",
        "GRANT ALL ON kyc_documents TO circlepay_user",
    ),
    "users.updated_at": (
        "ALTER TABLE users DISABLE TRIGGER update_users_updated_at",
        "ALTER TABLE users ENABLE TRIGGER update_users_updated_at",
    ),
    "wallets.updated_at": (
        "ALTER TABLE wallets DISABLE TRIGGER update_wallets_updated_at",
        "ALTER TABLE wallets ENABLE TRIGGER update_wallets_updated_at",
    ),
    "kyc_documents.updated_at": (
        "ALTER TABLE kyc_documents DISABLE TRIGGER update_kyc_documents_updated_at",
        "ALTER TABLE kyc_documents ENABLE TRIGGER update_kyc_documents_updated_at",
    ),
    "role": ("ALTER ROLE circlepay_user SUPERUSER", "ALTER ROLE circlepay_user NOSUPERUSER"),
    "schema": ("DROP INDEX idx_users_kyc_status", "CREATE INDEX idx_users_kyc_status ON users (kyc_status)"),
}


def _failed(report: checks.Report) -> dict[str, str]:
    return {outcome.name: outcome.detail for outcome in report.checks if not outcome.passed}


_COUNT = sql.SQL("SELECT count(*) FROM {}")


def _rows(services: Services) -> list[tuple[int, ...]]:
    tables = ("users", "wallets", "transactions", "kyc_documents")
    with live_servers.connect(services.postgres) as connection:
        return [connection.execute(_COUNT.format(sql.Identifier(table))).fetchone() or (-1,) for table in tables]


def _with_broken(services: Services, name: str) -> checks.Report:
    """The report of a stack with one promise broken."""
    broken, mended = BREAKAGES[name]
    with live_servers.connect(services.postgres) as connection:
        connection.execute(broken.encode())
        try:
            report = checks.run(Environment(services.values()))
        finally:
            connection.execute(mended.encode())
    return report


def test_everything_is_proved_and_nothing_is_left_behind(services: Services) -> None:
    report = checks.run(Environment(services.values()))
    assert _failed(report) == {}
    assert [outcome.name for outcome in report.checks] == NAMES
    assert _rows(services) == [(0,)] * 4
    with redis.Redis(port=services.cache.port, password=services.cache.password) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("name", BREAKAGES)
def test_broken_promise_is_told(services: Services, name: str) -> None:
    report = _with_broken(services, name)
    assert name in _failed(report)
    assert not report.passed
    assert _rows(services) == [(0,)] * 4
    assert _failed(checks.run(Environment(services.values()))) == {}


def test_too_narrow_currency_is_the_documented_failure(services: Services) -> None:
    failed = _failed(_with_broken(services, "transactions"))
    assert "value too long for type character varying(3)" in failed["transactions"]


def test_one_broken_table_hides_no_other(services: Services) -> None:
    report = _with_broken(services, "kyc documents")
    assert set(_failed(report)) == {"kyc documents", "kyc_documents.updated_at"}


@pytest.mark.parametrize(
    ("key", "name"), [("DATABASE_URL", "database"), ("REDIS_URL", "redis")], ids=["postgres", "redis"]
)
def test_wrong_password_is_told_without_any_password(services: Services, key: str, name: str) -> None:
    values = services.values()
    right = {"DATABASE_URL": services.password, "REDIS_URL": services.cache.password}[key]
    values[key] = values[key].replace(right, "wrong%20guess-1234567")
    report = checks.run(Environment(values))
    assert name in _failed(report)
    everything = str(report.as_dict())
    assert "guess" not in everything
    assert services.password not in everything
    assert services.cache.password not in everything


@pytest.mark.parametrize("key", ["DATABASE_URL", "REDIS_URL"])
def test_url_that_is_none_is_told_without_its_text(services: Services, key: str) -> None:
    values = services.values() | {key: "hunter2://[half an address"}
    report = checks.run(Environment(values))
    assert not report.passed
    assert "hunter2" not in str(report.as_dict())


def test_server_that_is_down_is_told_at_once(services: Services) -> None:
    values = services.values()
    port = live_servers.free_port()
    values["DATABASE_URL"] = values["DATABASE_URL"].replace(str(services.postgres.port), str(port))
    values["REDIS_URL"] = values["REDIS_URL"].replace(str(services.cache.port), str(port))
    report = checks.run(Environment(values))
    assert set(_failed(report)) == {"database", "redis", "cached balance"}
    assert sum(outcome.seconds for outcome in report.checks) < 5


def test_cached_balance_without_a_time_to_live_is_told(services: Services) -> None:
    with redis.Redis(port=services.cache.port, password=services.cache.password) as client:
        client.config_set("maxmemory", "1")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            report = checks.run(Environment(services.values()))
        finally:
            client.config_set("maxmemory", "0")
    assert set(_failed(report)) == {"cached balance"}


def test_alive_says_ok_for_both(services: Services) -> None:
    assert checks.alive(Environment(services.values())) == {"database": "ok", "redis": "ok"}


def test_alive_says_why_not(services: Services) -> None:
    values = services.values() | {"REDIS_URL": f"redis://127.0.0.1:{live_servers.free_port()}"}
    answer = checks.alive(Environment(values))
    assert answer["database"] == "ok"
    assert answer["redis"].startswith("ConnectionError")


def test_rows_of_a_crashed_run_are_told(services: Services) -> None:
    with live_servers.connect(services.postgres) as connection:
        connection.execute(
            "INSERT INTO users (email, first_name, last_name, country_code) "
            "VALUES ('x@app-stub.invalid', 'a', 'b', 'KR')"
        )
        try:
            failed = _failed(checks.run(Environment(services.values())))
        finally:
            connection.execute("DELETE FROM users")
    assert failed == {"nothing left behind": "1 row(s) of this program are in users"}


def test_no_connection_stays_open(services: Services) -> None:
    checks.run(Environment(services.values()))
    with live_servers.connect(services.postgres) as connection:
        open_ones = _connections(connection)
    assert open_ones == 0


def _connections(connection: psycopg.Connection) -> int:
    for _ in range(100):
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'circlepay-app-stub'"
        ).fetchone()
        if row == (0,):
            return 0
    return int(row[0]) if row else -1
