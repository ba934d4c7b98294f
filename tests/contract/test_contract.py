"""Up, up again, down, up: the promises of every target on a live stack."""

from __future__ import annotations

import json
import re
import secrets
import time

import psycopg
import pytest
import redis as redis_client
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.contract.drifts import DRIFTS, Drift
from tests.support import attacks, cache_attacks
from tests.support.live import LiveStack
from tests.support.quiet_ports import QUIET


def test_up_ends_with_the_promised_outputs(live: LiveStack) -> None:
    outputs = live.outputs
    assert outputs["databaseUrl"].startswith("postgresql://circlepay_user:")
    assert outputs["adminDatabaseUrl"].startswith("postgresql://postgres:")
    assert outputs["redisUrl"].startswith("redis://default:")
    assert live.env_path.name == ".env.local"
    assert live.env_path.stat().st_mode & 0o777 == 0o600
    assert outputs["verification"]["failed"] == 0
    assert outputs["verification"]["passed"] > 50
    for server in ("postgres", "redis"):
        assert {"address", "port", "version", "dataPath"} <= outputs[server].keys()


def test_second_up_changes_nothing(live: LiveStack) -> None:
    assert set(live.clone.up_counts()) == {"same"}


def test_refresh_finds_nothing(live: LiveStack) -> None:
    live.clone.pulumi("refresh", "--preview-only", "--expect-no-changes", "--stack", live.clone.stack).expect()


def test_application_works_with_nothing_but_the_env_file(live: LiveStack) -> None:
    live.app_stub()


def test_verification_passes(live: LiveStack) -> None:
    live.verify().expect()


def test_down_and_up_again_keep_data_ports_and_passwords(live: LiveStack) -> None:
    before = live.outputs
    assert all("port" not in live.clone.config[f"circlepay:{server}"] for server in ("postgres", "redis"))
    assert all(int(before[server]["port"]) in QUIET for server in ("postgres", "redis")), "asked for once, kept unset"
    env_text = live.env_path.read_text()
    live.insert_user("kept@example.com")
    live.clone.down().expect()
    with pytest.raises(psycopg.OperationalError), live.as_application():
        pass
    assert live.env_path.read_text() == env_text
    live.clone.up().expect()
    after = live.fresh().outputs
    assert {name: after[name] for name in ("databaseUrl", "redisUrl")} == {
        name: before[name] for name in ("databaseUrl", "redisUrl")
    }
    assert live.env_path.read_text() == env_text
    with live.as_application() as connection:
        deleted = connection.execute("DELETE FROM users WHERE email = 'kept@example.com'").rowcount
    assert deleted == 1


def test_no_attack_of_the_application_succeeds(live: LiveStack) -> None:
    with live.as_application() as session:
        assert attacks.succeeded(session) == {}
    with live.as_cache_client() as client:
        assert cache_attacks.succeeded(client) == []


@pytest.mark.once_per_target
@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name)
def test_manual_change_is_found_and_mended(live: LiveStack, drift: Drift) -> None:
    assert drift.mended(live), "the stack was not as declared before the test"
    drift.make(live)
    assert not drift.mended(live), "the manual change did not take, so nothing could be mended"
    counts = live.clone.up_counts()
    assert counts.get("update", 0) + counts.get("create", 0) > 0, counts
    assert drift.mended(live)


def test_manual_changes_made_together_are_mended_by_one_up(live: LiveStack) -> None:
    together = [drift for drift in DRIFTS if not drift.alone]
    for drift in together:
        assert drift.mended(live), f"{drift.name}: the stack was not as declared before the test"
    for drift in together:
        drift.make(live)
        assert not drift.mended(live), f"{drift.name}: the manual change did not take"
    live.clone.up().expect()
    assert [drift.name for drift in together if not drift.mended(live)] == []


def test_nothing_is_found_after_every_repair(live: LiveStack) -> None:
    assert set(live.clone.up_counts()) == {"same"}


def test_preview_reports_drift_without_mending_it(live: LiveStack) -> None:
    with live.as_superuser() as connection:
        connection.execute("DROP INDEX public.idx_wallets_chain_name")
    previewed = json.loads(
        live.clone.run("circlepay", "preview", "--json", "--stack", live.clone.stack).expect(2).output
    )
    changes = [change for resource in previewed if resource["type"] == "Schema" for change in resource["changes"]]
    assert [change["subject"] for change in changes] == ["index public.idx_wallets_chain_name"]
    assert set(changes[0]) == {"subject", "action", "reason", "lock", "effect", "reversible"}
    with live.as_superuser() as connection:
        row = connection.execute("SELECT to_regclass('public.idx_wallets_chain_name')").fetchone()
    assert row == (None,)
    live.clone.up().expect()


def test_structural_drift_is_reported_and_stops_nothing(live: LiveStack) -> None:
    with live.as_superuser() as connection:
        connection.execute("ALTER TABLE public.users ADD COLUMN by_hand text")
        connection.execute("DROP INDEX public.idx_users_phone")
    try:
        live.clone.up().expect()
        findings = json.dumps(live.fresh().outputs["findings"])
        assert "by_hand" in findings
        with live.as_superuser() as connection:
            row = connection.execute("SELECT to_regclass('public.idx_users_phone') IS NOT NULL").fetchone()
        assert row == (True,)
    finally:
        with live.as_superuser() as connection:
            connection.execute("ALTER TABLE public.users DROP COLUMN by_hand")
    live.clone.up().expect()
    assert "by_hand" not in json.dumps(live.fresh().outputs["findings"])


def test_a_dropped_table_is_one_finding_stops_nothing_and_comes_back_by_its_remedy(live: LiveStack) -> None:
    lost = {"table public.kyc_documents"}
    with live.as_superuser() as connection:
        connection.execute("DROP TABLE public.kyc_documents")
        connection.execute("DROP INDEX public.idx_users_phone")
    try:
        live.clone.up().expect()
        outputs = live.fresh().outputs
        found = [finding for finding in outputs["findings"] if "kyc_documents" in json.dumps(finding)]
        assert {finding["subject"] for finding in found} == lost
        assert len(found) == 1, "each difference is told once"
        assert outputs["verification"]["failed"] == 1
        assert outputs["verification"]["passed"] > 250
        with live.as_superuser() as connection:
            row = connection.execute("SELECT to_regclass('public.idx_users_phone') IS NOT NULL").fetchone()
            assert row == (True,)
            remedy = re.search(r"psql -- -c '([^']*)'", found[0]["remedy"])
            assert remedy is not None
            connection.execute(remedy[1].encode())
        live.clone.up().expect()
    finally:
        with live.as_superuser() as connection:
            if connection.execute("SELECT to_regclass('public.kyc_documents')").fetchone() == (None,):
                connection.execute(_from_the_baseline(live, "kyc_documents"))
        live.clone.up().expect()
    outputs = live.fresh().outputs
    assert not lost & {finding["subject"] for finding in outputs["findings"]}
    assert outputs["verification"]["failed"] == 0
    assert set(live.clone.up_counts()) == {"same"}


def _from_the_baseline(live: LiveStack, table: str) -> bytes:
    text = (live.clone.root / "sql" / "migrations" / "0001_baseline.sql").read_text()
    statement = re.search(rf"CREATE TABLE {table} \(.*?\n\);", text, re.DOTALL)
    assert statement is not None
    return statement[0].encode()


@pytest.mark.once_per_target
def test_a_supplied_secret_is_not_lost_with_its_setting(live: LiveStack) -> None:
    own = dict(live.clone.config.get("circlepay:application", {}))
    secret = secrets.token_hex(32)
    file = live.clone.root / "supplied-secrets"
    file.touch(mode=0o600)
    file.write_text(f"CIRCLE_ENTITY_SECRET={secret}\n")
    try:
        live.clone.configure(application={**own, "suppliedSecretsFile": "supplied-secrets"})
        live.clone.up().expect()
        before = live.env_path.read_text()
        assert f"CIRCLE_ENTITY_SECRET={secret}\n" in before
        live.clone.configure(application=own)
        refused = live.clone.up()
        assert refused.code != 0
        assert "holds a value of CIRCLE_ENTITY_SECRET" in refused.output
        assert secret not in refused.output
        assert live.env_path.read_text() == before
    finally:
        live.clone.configure(application=own)
        text = live.env_path.read_text()
        live.env_path.write_text(text.replace(secret, ""))
        file.unlink()
        live.clone.up().expect()
    assert "CIRCLE_ENTITY_SECRET=\n" in live.env_path.read_text()


@pytest.mark.once_per_target
def test_nine_redundant_indexes_are_reported_and_droppable(live: LiveStack) -> None:
    redundant = [finding for finding in live.fresh().outputs["findings"] if "redundant" in finding["problem"]]
    assert len(redundant) == 9
    own = dict(live.clone.config.get("circlepay:postgres", {}))
    try:
        live.clone.configure(postgres={**own, "dropRedundantIndexes": True})
        live.clone.up().expect()
        assert _index_count(live) == 26
        assert set(live.clone.up_counts()) == {"same"}
    finally:
        live.clone.configure(postgres=own)
        live.clone.up().expect()
    assert _index_count(live) == 35


def _index_count(live: LiveStack) -> int:
    with live.as_superuser() as connection:
        row = connection.execute("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'").fetchone()
    assert row is not None
    return int(row[0])


def test_wrong_and_missing_credentials_are_refused(live: LiveStack) -> None:
    postgres, redis = live.outputs["postgres"], live.outputs["redis"]
    for password in ("wrong-password", ""):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(
                host=postgres["address"],
                port=int(postgres["port"]),
                user="postgres",
                password=password,
                dbname="postgres",
            )
        client = redis_client.Redis(
            redis["address"], int(redis["port"]), password=password or None, retry=Retry(NoBackoff(), 0)
        )
        with pytest.raises(redis_client.AuthenticationError):
            client.ping()
        client.close()


def test_nothing_listens_beyond_the_declared_addresses(live: LiveStack) -> None:
    for server in ("postgres", "redis"):
        declared = (live.outputs[server]["address"], int(live.outputs[server]["port"]))
        assert live.server(server).listening == {declared}


def test_servers_survive_the_up_that_started_them(live: LiveStack) -> None:
    before = live.identities()
    live.clone.up().expect()
    time.sleep(1.0)
    assert live.identities() == before


def test_live_settings_change_without_a_restart(live: LiveStack) -> None:
    own = {name: dict(live.clone.config.get(f"circlepay:{name}", {})) for name in ("redis", "postgres")}
    before = live.identities()
    try:
        live.clone.configure(
            redis={**own["redis"], "maxmemory": "300mb"}, postgres={**own["postgres"], "logMinDurationStatement": 2000}
        )
        live.clone.up().expect()
        with live.as_cache_client() as client:
            assert int(client.config_get("maxmemory")["maxmemory"]) == 300 * 1024 * 1024
        with live.as_superuser() as connection:
            row = connection.execute(
                "SELECT setting FROM pg_settings WHERE name = 'log_min_duration_statement'"
            ).fetchone()
        assert row == ("2000",)
        assert live.identities() == before
    finally:
        live.clone.configure(**own)
        live.clone.up().expect()


def test_restart_only_settings_restart_and_only_then(live: LiveStack) -> None:
    own = dict(live.clone.config.get("circlepay:postgres", {}))
    before = live.identities()
    try:
        live.clone.configure(postgres={**own, "maxConnections": 60})
        live.clone.up().expect()
        with live.as_superuser() as connection:
            row = connection.execute("SELECT setting FROM pg_settings WHERE name = 'max_connections'").fetchone()
        assert row == ("60",)
        after = live.identities()
        assert after["postgres"] != before["postgres"]
        assert after["redis"] == before["redis"]
    finally:
        live.clone.configure(postgres=own)
        live.clone.up().expect()


def test_a_database_that_took_the_place_of_ours_is_refused_and_left_alone(live: LiveStack) -> None:
    env_text = live.env_path.read_text()
    with live.as_superuser("postgres") as connection:
        connection.execute("ALTER DATABASE circlepay_db RENAME TO set_aside")
        connection.execute("CREATE DATABASE circlepay_db TEMPLATE template0")
    try:
        refused = live.clone.up()
        assert refused.code != 0
        assert "was not made by this project" in refused.output
        with live.as_superuser() as connection:
            assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        assert live.env_path.read_text() == env_text
    finally:
        with live.as_superuser("postgres") as connection:
            connection.execute("DROP DATABASE circlepay_db WITH (FORCE)")
            connection.execute("ALTER DATABASE set_aside RENAME TO circlepay_db")
        live.clone.up().expect()
    assert set(live.clone.up_counts()) == {"same"}
