"""The document's limits that are no faults yet: each is named, with a way out."""

from __future__ import annotations

from infra.changes import Severity
from tests.unit.postgres.conftest import Stage


def test_each_known_limit_is_reported_with_a_way_out(finished: Stage) -> None:
    found = finished.plan().findings
    cascades = [item for item in found if "ON DELETE CASCADE" in item.problem]
    assert sorted(item.subject.split(".")[1] for item in cascades) == ["kyc_documents", "transactions", "wallets"]
    keys = [item for item in found if "2^31" in item.problem]
    assert sorted(item.subject for item in keys) == [
        f"sequence public.{table}_id_seq" for table in ("kyc_documents", "transactions", "users", "wallets")
    ]
    narrow = [item for item in found if "Solana" in item.problem]
    assert sorted(item.subject for item in narrow) == [
        "column public.transactions.source_address",
        "column public.transactions.target_address",
        "column public.transactions.transaction_hash",
        "column public.wallets.wallet_address",
    ]
    assert all(item.remedy for item in (*cascades, *keys, *narrow))
    waiting = [item for item in found if item.severity is Severity.WARNING]
    assert [item.problem for item in waiting if "documented ALL" not in item.problem] == []


def test_the_used_part_of_a_key_is_shown(stage: Stage) -> None:
    stage.run("SELECT setval('users_id_seq', 1073741824)")
    found = [item for item in stage.plan().findings if item.subject == "sequence public.users_id_seq"]
    assert "more than 50 % used" in found[0].problem
    assert found[0].severity is Severity.WARNING


def test_a_limit_that_was_overcome_is_not_reported(stage: Stage) -> None:
    stage.run(
        "ALTER TABLE wallets ALTER COLUMN wallet_address TYPE varchar(44)",
        "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey",
        "ALTER TABLE wallets ADD CONSTRAINT wallets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE RESTRICT",
        "ALTER SEQUENCE wallets_id_seq AS bigint",
    )
    limits = [
        item for item in stage.plan().findings if any(word in item.problem for word in ("Solana", "CASCADE", "2^31"))
    ]
    assert not [item for item in limits if "wallet" in item.subject]


def test_findings_are_of_what_was_mended_too_and_show_no_live_counter(stage: Stage) -> None:
    before = stage.plan().findings
    stage.run("ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey")
    assert stage.apply().findings == before
    stage.run(
        "INSERT INTO users (email, first_name, last_name, country_code) SELECT 'e' || n, 'A', 'B', 'KR' "
        "FROM generate_series(1, 500) AS n",
        "SELECT count(*) FROM users WHERE email = 'e1'",
        "SELECT pg_stat_force_next_flush()",
    )
    assert stage.plan().findings == before
