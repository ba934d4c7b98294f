"""Changes run together or not at all, by one run at a time, and whatever interrupts them, the next run converges."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from infra.changes import Change
from infra.errors import CatalogError
from infra.postgres.execution import FileChange, raw, repair, run
from tests.support import live_servers
from tests.unit.postgres.conftest import PASSWORD, Stage

KILLS = 15


def _change(text: str, **more: object) -> Change:
    return Change(subject=f"thing {text[:12]}", action="alter", reason="a test", statement=raw(text), **more)  # type: ignore[arg-type]


def _run(stage: Stage, *changes: Change) -> None:
    with stage.connect() as connection:
        run(connection, changes, cancelled=threading.Event())


def test_what_can_share_a_transaction_happens_as_a_whole(stage: Stage) -> None:
    with pytest.raises(CatalogError, match="does not exist") as caught:
        _run(stage, _change("CREATE TABLE a ()"), _change("SELECT nothing"), _change("CREATE TABLE b ()"))
    assert caught.value.path == "thing SELECT nothi", "the failing one is named, not the first"
    assert stage.ask("SELECT to_regclass('a')") is None
    _run(stage, _change("CREATE TABLE a ()"), _change("CREATE TABLE b ()"))
    assert stage.ask("SELECT to_regclass('b')") == "b"


def test_what_cannot_share_one_runs_in_its_place(stage: Stage) -> None:
    alone = _change("CREATE INDEX CONCURRENTLY mine ON a (x); SELECT 1", transactional=False)
    with pytest.raises(CatalogError):
        _run(stage, _change("CREATE TABLE a (x int)"), alone, _change("SELECT nothing"))
    assert stage.ask("SELECT to_regclass('mine')") == "mine"


def test_a_change_without_a_statement_is_somebody_elses(stage: Stage) -> None:
    _run(stage, Change("parameter max_connections", "restart", "a test"))


def test_nothing_runs_once_cancelled(stage: Stage) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with stage.connect() as connection, pytest.raises(CatalogError, match="cancelled"):
        run(connection, [_change("CREATE TABLE a ()")], cancelled=cancelled)
    assert stage.ask("SELECT to_regclass('a')") is None


def test_a_server_that_goes_away_is_an_error_that_says_so(stage: Stage) -> None:
    with stage.connect() as connection:
        pid = connection.info.backend_pid
        with pytest.raises(CatalogError) as caught:
            run(connection, [_change(f"SELECT pg_terminate_backend({pid})")], cancelled=threading.Event())
    assert "run again" in caught.value.hint


def test_a_repair_that_fails_stops_no_other(stage: Stage) -> None:
    changes = [
        _change("CREATE TABLE a (x int); INSERT INTO a VALUES (1), (1)"),
        _change("ALTER TABLE a ADD UNIQUE (x)"),
        _change("CREATE TABLE b ()"),
        _change("CREATE UNIQUE INDEX CONCURRENTLY c ON a (x)", transactional=False),
        _change("CREATE INDEX CONCURRENTLY d ON a (x)", transactional=False),
    ]
    with stage.connect() as connection:
        done, refused = repair(connection, changes, cancelled=threading.Event())
    assert [change.subject for change in done] == [changes[index].subject for index in (0, 2, 4)]
    assert len(refused) == 2
    assert "could not create unique index" in refused[0].problem
    assert "(1)" in refused[0].problem


def test_a_repair_that_waits_in_vain_is_an_error(stage: Stage) -> None:
    changes = [_change("ALTER TABLE users ADD COLUMN x int"), _change("CREATE TABLE b ()")]
    with stage.connect() as other, stage.connect() as connection:
        other.execute("BEGIN; LOCK TABLE users IN ACCESS SHARE MODE")
        with pytest.raises(CatalogError, match="lock timeout") as caught:
            repair(connection, changes, cancelled=threading.Event(), wait=0.3)
        assert str(other.info.backend_pid) in caught.value.hint
    assert stage.ask("SELECT to_regclass('b')") == "b", "another object's repair does not wait for it"


def test_no_error_shows_a_statement(stage: Stage) -> None:
    secret = "SCRAM-SHA-256$4096:secret$secret:secret"
    with pytest.raises(CatalogError) as caught:
        _run(stage, _change(f"ALTER ROLE nobody_here PASSWORD '{secret}'"))
    assert secret not in repr(caught.value.as_dict())


def test_a_file_change_is_the_file(stage: Stage) -> None:
    text = "SELECT 1;\nSELECT nothing;\n"
    change = FileChange("migration x", "apply", "a test", statement=raw(text), path="x.sql", text=text)
    with pytest.raises(Exception, match=r"x\.sql:2:8"):
        _run(stage, change)


def _child(stage: Stage, cache: Path, *, drop_redundant: bool = False) -> subprocess.Popen[str]:
    orders = {
        "port": stage.server.port,
        "password": stage.server.password,
        "database": stage.name,
        "role": stage.objects.role.name,
        "role_password": PASSWORD,
        "owner": stage.objects.owner.name,
        "sql": str(live_servers.SQL),
        "cache": str(cache),
        "drop_redundant": drop_redundant,
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.apply_objects"],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(orders))
    child.stdin.close()
    assert child.stdout.readline() == "ready\n"
    return child


def test_two_at_the_same_time_apply_everything_once(bare: Stage, tmp_path: Path) -> None:
    children = [_child(bare, tmp_path / str(number)) for number in range(2)]
    done: list[str] = []
    for child in children:
        assert child.stdout is not None
        assert child.stderr is not None
        output, errors = child.stdout.read(), child.stderr.read()
        assert child.wait(60) == 0, errors
        done += json.loads(output)
        child.stdout.close()
        child.stderr.close()
    assert len(done) == len(set(done)), "nothing was applied twice"
    assert f"create database {bare.name}" in done
    assert f"create role {bare.objects.role.name}" in done
    assert [line for line in done if line.startswith("apply migration ")] == [
        f"apply migration {migration.label}" for migration in bare.objects.migrations
    ]
    assert bare.plan().changes == ()


def test_killed_at_any_moment_the_next_run_converges(bare: Stage, tmp_path: Path) -> None:
    began = time.monotonic()
    bare.apply(drop_redundant=True)
    whole = time.monotonic() - began
    chance = random.Random(4)  # noqa: S311 - moments, not secrets
    for number in range(KILLS):
        delay = chance.random() * whole
        bare.run(
            f"DROP DATABASE IF EXISTS {bare.name} WITH (FORCE)",
            f"DROP ROLE {bare.objects.role.name}",
            database="postgres",
        )
        _kill_after(_child(bare, tmp_path / str(number), drop_redundant=True), delay)
        bare.apply(drop_redundant=True, cache=tmp_path / str(number))
        assert bare.plan(drop_redundant=True).changes == (), f"killed after {delay:.3f} of {whole:.3f} s"
        assert bare.ask("SELECT count(*) FROM circlepay.migrations") == len(bare.objects.migrations)
        assert bare.ask("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == 26


def _kill_after(child: subprocess.Popen[str], seconds: float) -> None:
    time.sleep(seconds)
    child.kill()
    child.wait(10)
    for stream in (child.stdout, child.stderr):
        assert stream is not None
        stream.close()
