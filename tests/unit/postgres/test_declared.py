"""The declared schema: replayed once, kept by checksum, and the same however it was come by."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from infra.errors import MigrationError
from infra.postgres import declared
from infra.postgres.catalog import parse
from infra.postgres.migrations import Migration
from tests.unit.postgres.conftest import Stage

SCRATCH = "SELECT count(*) FROM pg_database WHERE datname LIKE 'circlepay_scratch%'"


def _names(stage: Stage) -> list[str]:
    return [path.name for path in sorted(stage.objects.cache.glob("*"))]


def test_applying_to_an_empty_database_answers_without_a_replay(bare: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "replay", None)
    bare.apply()
    assert len(_names(bare)) == 1
    assert bare.apply().changes == ()


def test_a_replay_answers_the_same(bare: Stage) -> None:
    bare.apply()
    kept = declared.recall(bare.objects.cache, bare.objects.migrations, _major(bare))
    replayed = parse(declared.replay(bare.login, bare.objects.migrations, cancelled=threading.Event()))
    assert kept is not None
    for section in ("schemas", "tables", "columns", "constraints", "triggers", "functions", "sequences", "types"):
        # A replay is the superuser's own; who owns what is declared elsewhere.
        first, second = ([_without_owner(item) for item in getattr(each, section)] for each in (kept, replayed))
        assert first == second, section
    assert [index.definition for index in kept.indexes] == [index.definition for index in replayed.indexes]
    assert bare.ask(SCRATCH, database="postgres") == 0


def test_without_a_cache_it_is_replayed_once(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty") / "below"
    stage.run("DROP INDEX idx_users_kyc_status")
    unknown = stage.plan(cache=folder)
    assert unknown.changes == (), "a preview makes no scratch database"
    assert any("drift is unknown" in item.problem for item in unknown.findings)
    assert [change.subject for change in stage.apply(cache=folder).changes] == ["index public.idx_users_kyc_status"]
    assert stage.plan(cache=folder).changes == ()
    assert len(list(folder.iterdir())) == 1


def test_a_spoilt_cache_is_as_good_as_none(bare: Stage) -> None:
    bare.apply()
    path = declared.cache_file(bare.objects.cache, bare.objects.migrations, _major(bare))
    before = json.loads(path.read_text(encoding="utf-8"))
    for spoilt in ("", "{", '{"tables": 3}', '{"tables": [{}]}'):
        path.write_text(spoilt, encoding="utf-8")
        assert declared.recall(bare.objects.cache, bare.objects.migrations, _major(bare)) is None
        assert bare.apply().changes == ()
    assert json.loads(path.read_text(encoding="utf-8")).keys() == before.keys()


def test_it_holds_no_verifier(bare: Stage) -> None:
    bare.apply()
    path = declared.cache_file(bare.objects.cache, bare.objects.migrations, _major(bare))
    assert "SCRAM" not in path.read_text(encoding="utf-8")


def test_other_migrations_have_another_file(bare: Stage) -> None:
    one = declared.cache_file(bare.objects.cache, bare.objects.migrations, 18)
    assert one != declared.cache_file(bare.objects.cache, bare.objects.migrations[:1], 18)
    assert one != declared.cache_file(bare.objects.cache, bare.objects.migrations, 15)


def test_a_replay_that_fails_leaves_nothing(bare: Stage) -> None:
    broken = Migration(3, "broken", "0003_broken.sql", "SELECT nothing", "0" * 64)
    with pytest.raises(MigrationError, match="does not exist"):
        declared.replay(bare.login, [*bare.objects.migrations, broken], cancelled=threading.Event())
    assert bare.ask(SCRATCH, database="postgres") == 0


def test_what_a_killed_replay_left_is_removed_and_nothing_else(bare: Stage) -> None:
    left, other = "circlepay_scratch_0123456789ab", "circlepay_scratch_book"
    bare.run(f"CREATE DATABASE {left}", f"CREATE DATABASE {other}", database="postgres")
    try:
        declared.replay(bare.login, bare.objects.migrations, cancelled=threading.Event())
        assert (
            bare.ask(
                "SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE 'circlepay_scratch%'",
                database="postgres",
            )
            == other
        )
    finally:
        bare.run(f"DROP DATABASE {other}", database="postgres")


def _without_owner(item: Any) -> Any:
    return replace(item, owner="") if hasattr(item, "owner") else item


def _major(stage: Stage) -> int:
    return int(stage.ask("SHOW server_version_num", database="postgres")) // 10000
