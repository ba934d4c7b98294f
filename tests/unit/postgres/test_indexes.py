"""The nine redundant indexes: computed, reported with their cost, dropped and created again."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest

from infra.errors import CatalogError
from infra.postgres import indexes
from infra.postgres.catalog import read
from infra.postgres.facts import Catalog, Index
from infra.postgres.indexes import concurrently, read_optional_drops, redundant
from tests.unit.postgres.conftest import Stage, mended

NINE = {
    "idx_users_email": "users_email_key",
    "idx_users_phone": "users_phone_key",
    "idx_users_circle_wallet_id": "users_circle_wallet_id_key",
    "idx_users_circle_entity_id": "users_circle_entity_id_key",
    "idx_users_circle_wallet_set_id": "users_circle_wallet_set_id_key",
    "idx_wallets_user_id": "uq_user_chain",
    "idx_wallets_circle_wallet_id": "wallets_circle_wallet_id_key",
    "idx_transactions_transaction_id": "transactions_transaction_id_key",
    "idx_transactions_transaction_hash": "transactions_transaction_hash_key",
}


def _index(name: str, *columns: str, **changes: object) -> Index:
    facts: dict[str, object] = {
        "schema": "public",
        "table": "t",
        "name": name,
        "definition": "",
        "unique": False,
        "valid": True,
        "building": False,
        "constraint": False,
        "method": "btree",
        "partial": False,
        "expressions": False,
        "columns": columns,
        "key_count": len(columns),
        "orders": (0,) * len(columns),
        "classes": (1,) * len(columns),
        "collations": (0,) * len(columns),
        "bytes": 8192,
        "scans": 0,
    }
    return Index(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ([_index("a", "x"), _index("b", "x", unique=True)], ["a"]),
        ([_index("a", "x"), _index("b", "x", "y")], ["a"]),
        ([_index("a", "x", "y"), _index("b", "x")], ["b"]),
        ([_index("a", "x"), _index("b", "x")], ["b"]),
        ([_index("a", "x"), _index("b", "x"), _index("c", "x")], ["b", "c"]),
        ([_index("a", "x"), _index("b", "y", "x")], []),
        ([_index("a", "x", unique=True), _index("b", "x", "y")], []),
        ([_index("a", "x", constraint=True), _index("b", "x", "y")], []),
        ([_index("a", "x"), _index("b", "x", "y", partial=True)], []),
        ([_index("a", "x", partial=True), _index("b", "x", "y")], []),
        ([_index("a", "x"), _index("b", "x", "y", valid=False)], []),
        ([_index("a", "x"), _index("b", "x", method="hash")], []),
        ([_index("a", "x"), _index("b", "x", orders=(3,))], []),
        ([_index("a", "x"), _index("b", "x", classes=(2,))], []),
        ([_index("a", "x"), _index("b", "x", collations=(7,))], []),
        ([_index("a", "x"), _index("b", "x", table="u")], []),
        ([_index("a", ""), _index("b", "", expressions=True)], []),
        ([_index("a", "x", "y", key_count=1), _index("b", "x", "z")], []),
        ([_index("a", "x", "y", key_count=1), _index("b", "x", "y")], ["a"]),
    ],
)
def test_redundant(pair: list[Index], expected: list[str]) -> None:
    assert [item.index.name for item in redundant(pair)] == expected
    assert [item.index.name for item in redundant(reversed(pair))] == expected


def test_exactly_nine_of_the_documented_ones_are_redundant(finished: Stage) -> None:
    with finished.connect() as connection:
        facts = read(connection)
    ours = [index for index in facts.indexes if index.schema == "public"]
    found = {item.index.name: item.covering.name for item in redundant(ours)}
    assert found == NINE
    assert len(ours) - len(found) == 26
    assert {drop.name for drop in finished.objects.drops} == set(NINE), "the optional file drops exactly these"


def test_each_is_reported_with_its_cost(finished: Stage) -> None:
    found = [item for item in finished.plan().findings if "is redundant" in item.problem]
    assert len(found) == 9
    assert all("one more index write per row" in item.cost for item in found)
    assert all("dropRedundantIndexes" in item.remedy for item in found)


def test_they_are_dropped_where_the_stack_asks_for_it_and_come_back(stage: Stage) -> None:
    expected = [f"public.{drop.name}" for drop in stage.objects.drops]
    assert mended(stage, drop_redundant=True) == [f"drop index {name}" for name in expected]
    assert stage.ask("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == 26
    assert not [item for item in stage.plan(drop_redundant=True).findings if "redundant" in item.problem]
    assert sorted(mended(stage)) == sorted(f"create index {name}" for name in expected)
    assert stage.ask("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == 35


def test_a_new_database_can_be_made_without_them(bare: Stage) -> None:
    bare.apply(drop_redundant=True)
    assert bare.plan(drop_redundant=True).changes == ()
    assert bare.ask("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == 26


def test_one_that_nothing_covers_any_more_is_kept(stage: Stage) -> None:
    stage.run("ALTER TABLE users DROP CONSTRAINT users_email_key")
    first = [f"{change.action} {change.subject}" for change in stage.apply(drop_redundant=True).changes]
    assert "drop index public.idx_users_email" not in first
    assert "create unique constraint public.users.users_email_key" in first
    assert mended(stage, drop_redundant=True) == ["drop index public.idx_users_email"]


def test_dropping_them_does_not_block_writers(stage: Stage) -> None:
    """A writer holds its lock while the indexes go: they wait for it, and other writers go on meanwhile."""
    insert = "INSERT INTO users (email, first_name, last_name, country_code) VALUES (%s, 'A', 'B', 'KR')"
    with stage.connect() as first, stage.connect() as second:
        first.execute("BEGIN")
        first.execute(insert, ("first",))
        outcome: list[str] = []
        thread = threading.Thread(target=lambda: outcome.extend(mended(stage, drop_redundant=True)))
        thread.start()
        try:
            _wait_for_drop(second)
            second.execute("SET lock_timeout = '2s'")
            second.execute(insert, ("second",))
        finally:
            first.execute("COMMIT")
            thread.join(60)
    assert len(outcome) == 9


def _wait_for_drop(connection: psycopg.Connection) -> None:
    import time

    for _ in range(400):
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DROP INDEX CONCURRENTLY%' AND wait_event_type = 'Lock' "
            "AND datname = current_database()"
        ).fetchone()
        if row and row[0]:
            return
        time.sleep(0.02)
    raise AssertionError("no DROP INDEX CONCURRENTLY is waiting")


def test_an_index_that_another_session_is_building_is_left_to_it() -> None:
    declared = Catalog(indexes=(_index("a", "x"),), tables=())
    building = Catalog(indexes=(_index("a", "x", valid=False, building=True),))
    assert indexes.plan(building, declared, (), drop_redundant=False) == []


def test_the_optional_file_holds_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "drops.sql"
    path.write_text("DROP INDEX CONCURRENTLY IF EXISTS public.a;\nDROP TABLE users;\n", encoding="utf-8")
    with pytest.raises(CatalogError, match="DROP TABLE users"):
        read_optional_drops(path)


def test_concurrently() -> None:
    assert concurrently("CREATE INDEX a ON t USING btree (x)") == "CREATE INDEX CONCURRENTLY a ON t USING btree (x)"
    assert concurrently("CREATE UNIQUE INDEX a ON t (x)") == "CREATE UNIQUE INDEX CONCURRENTLY a ON t (x)"
