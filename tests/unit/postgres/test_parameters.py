"""Parameters as declared, whatever was set past the configuration file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.changes import Effect
from infra.postgres import parameters
from infra.postgres.catalog import read
from infra.postgres.execution import run
from infra.postgres.facts import Catalog, Override, Setting
from infra.postgres.parameters import NAMES, RESTART_ONLY, declared, same
from infra.settings.model import PostgresSettings
from tests.unit.postgres.conftest import ROLE, Stage

WANTED = {"log_min_duration_statement": "1000", "shared_buffers": "128MB", "synchronous_commit": "on"}


def _setting(value: str, unit: str = "", kind: str = "integer", **changes: object) -> Setting:
    facts: dict[str, object] = {
        "name": "log_min_duration_statement",
        "value": value,
        "unit": unit,
        "type": kind,
        "context": "superuser",
        "source": "configuration file",
        "file": "/etc/postgresql.conf",
        "pending_restart": False,
    }
    return Setting(**{**facts, **changes})  # type: ignore[arg-type]


def test_every_documented_setting_is_declared() -> None:
    found = declared(PostgresSettings())
    assert found.keys() == set(NAMES)
    assert found["shared_buffers"] == "128MB"
    assert found["log_min_duration_statement"] == "1000"
    assert [found[name] for name in ("fsync", "full_page_writes", "synchronous_commit")] == ["on"] * 3
    assert set(NAMES) > RESTART_ONLY


@pytest.mark.parametrize(
    ("setting", "value", "equal"),
    [
        (_setting("16384", "8kB"), "128MB", True),
        (_setting("16384", "8kB"), "129MB", False),
        (_setting("16384", "8kB"), "16384", True),
        (_setting("1000", "ms"), "1s", True),
        (_setting("1000", "ms"), "1000", True),
        (_setting("-1", "ms"), "-1", True),
        (_setting("-1", "ms"), "1", False),
        (_setting("100"), "100", True),
        (_setting("0.5", "", "real"), "0.50", True),
        (_setting("on", "", "bool"), "true", True),
        (_setting("off", "", "bool"), "on", False),
        (_setting("off", "", "bool"), "nonsense", False),
        (_setting("scram-sha-256", "", "enum"), "SCRAM-SHA-256", True),
        (_setting("a", "", "string"), "A", False),
        (_setting("5", "", "integer"), "many", False),
    ],
)
def test_values_are_compared_as_the_server_means_them(setting: Setting, value: str, equal: bool) -> None:
    assert same(setting, value) is equal


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (_setting("1000", "ms"), []),
        (_setting("5", "ms"), [("set", Effect.RELOAD), ("reload", Effect.RELOAD)]),
        (_setting("5", "ms", context="postmaster"), [("restart", Effect.RESTART), ("reload", Effect.RELOAD)]),
        (
            _setting("1000", "ms", context="postmaster", pending_restart=True),
            [("restart", Effect.RESTART), ("reload", Effect.RELOAD)],
        ),
        (_setting("5", "ms", source="session"), []),
    ],
)
def test_plan(setting: Setting, expected: list[tuple[str, Effect]]) -> None:
    changes = parameters.plan(Catalog(settings=(setting,)), {"log_min_duration_statement": "1000"})
    assert [(change.action, change.effect) for change in changes] == expected


def test_an_override_is_reset_even_when_it_says_the_same() -> None:
    facts = Catalog(settings=(_setting("1000", "ms"),), overrides=(Override("log_min_duration_statement", "1s"),))
    assert [change.action for change in parameters.plan(facts, WANTED)] == ["reset", "reload"]


@pytest.fixture
def server_settings(stage: Stage) -> Iterator[Stage]:
    """Whatever a test set for the whole server is undone."""
    yield stage
    stage.run(
        "ALTER SYSTEM RESET ALL", f"ALTER ROLE {ROLE} RESET ALL", "ALTER ROLE ALL RESET ALL", "SELECT pg_reload_conf()"
    )


def _wanted(stage: Stage) -> dict[str, str]:
    """What is in force now, as the declaration."""
    return {name: stage.ask(f"SHOW {name}") for name in NAMES}


def _apply(stage: Stage, wanted: dict[str, str]) -> list[str]:
    import threading

    with stage.connect() as connection:
        changes = parameters.plan(read(connection, NAMES), wanted)
        run(connection, changes, cancelled=threading.Event())
    for _ in range(100):  # a reload is in force a moment after it was asked for
        with stage.connect() as connection:
            if not parameters.plan(read(connection, NAMES), wanted):
                return [f"{change.action} {change.subject}" for change in changes]
    raise AssertionError("still not as declared")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "ALTER SYSTEM SET synchronous_commit = off",
            ["reset parameter synchronous_commit", "reload server configuration"],
        ),
        ("ALTER SYSTEM SET max_connections = 77", ["reset parameter max_connections", "reload server configuration"]),
        (
            "ALTER SYSTEM SET session_replication_role = replica",
            ["reset parameter session_replication_role", "reload server configuration"],
        ),
        (
            f"ALTER ROLE {ROLE} SET synchronous_commit = off",
            [f"reset parameter synchronous_commit of role {ROLE}"],
        ),
        ("ALTER ROLE ALL SET synchronous_commit = off", ["reset parameter synchronous_commit of every role"]),
    ],
)
@pytest.mark.parametrize("reloaded", [True, False])
def test_what_was_set_past_the_file_is_reset(
    server_settings: Stage, statement: str, expected: list[str], reloaded: bool
) -> None:
    wanted = _wanted(server_settings)
    assert _apply(server_settings, wanted) == []
    server_settings.run(statement, *(["SELECT pg_reload_conf()"] if reloaded else []))
    assert _apply(server_settings, wanted) == expected
    assert server_settings.ask("SHOW synchronous_commit") == "on"


def test_a_databases_own_value_is_reset(stage: Stage) -> None:
    wanted = _wanted(stage)
    stage.run(
        f"ALTER DATABASE {stage.name} SET synchronous_commit = off",
        f"ALTER ROLE {ROLE} IN DATABASE {stage.name} SET log_min_duration_statement = 5",
    )
    assert sorted(_apply(stage, wanted)) == [
        f"reset parameter log_min_duration_statement of role {ROLE} in database {stage.name}",
        f"reset parameter synchronous_commit of database {stage.name}",
    ]


def test_undeclared_overrides_are_reported(server_settings: Stage) -> None:
    server_settings.run("ALTER SYSTEM SET work_mem = '5MB'")
    with server_settings.connect() as connection:
        facts = read(connection, NAMES)
    found = [
        item for item in parameters.findings(facts, _wanted(server_settings)) if item.subject == "parameter work_mem"
    ]
    assert "5MB" in found[0].problem
    assert parameters.plan(facts, _wanted(server_settings)) == []
