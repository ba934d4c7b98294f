"""What sessions begin with: reset where it changes results, else reported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.postgres import session_settings
from infra.postgres.facts import Catalog, RoleSettings, Server
from tests.unit.postgres.conftest import ROLE, Stage, mended

WHO = {
    f"role {ROLE}": f"ROLE {ROLE}",
    f"role {ROLE} in database {{name}}": f"ROLE {ROLE} IN DATABASE {{name}}",
    "role postgres": "ROLE postgres",
    "every role": "ROLE ALL",
    "database {name}": "DATABASE {name}",
}


@pytest.fixture
def changed(stage: Stage) -> Iterator[Stage]:
    """Roles belong to the whole server: whatever a test did to them is undone."""
    yield stage
    for who in (ROLE, "postgres", "ALL"):
        stage.run(f"ALTER ROLE {who} RESET ALL", database="template1")


@pytest.mark.parametrize("who", WHO)
def test_what_changes_results_is_reset(changed: Stage, who: str) -> None:
    names = ("default_transaction_read_only", "search_path", "session_replication_role")
    for name, value in zip(names, ("on", "elsewhere", "replica"), strict=True):
        changed.run(f"ALTER {WHO[who].format(name=changed.name)} SET {name} = {value}", database="template1")
    assert mended(changed) == [f"reset parameter {name} of {who.format(name=changed.name)}" for name in names]
    with changed.as_application() as connection:
        connection.execute("SELECT count(*) FROM users")


def test_a_new_database_is_made_where_every_role_has_another_search_path(bare: Stage) -> None:
    bare.run("ALTER ROLE ALL SET search_path = 'elsewhere'", database="template1")
    try:
        planned = [f"{change.action} {change.subject}" for change in bare.plan().changes]
        assert [f"{change.action} {change.subject}" for change in bare.apply().changes] == planned
    finally:
        bare.run("ALTER ROLE ALL RESET ALL", database="template1")
    assert "reset parameter search_path of every role" in planned


@pytest.mark.parametrize("who", [f"role {ROLE} in database {{name}}", "every role"])
def test_what_only_tunes_sessions_is_reported(changed: Stage, who: str) -> None:
    words, subject = WHO[who].format(name=changed.name), who.format(name=changed.name)
    changed.run(f"ALTER {words} SET work_mem = '5MB'", database="template1")
    assert changed.plan().changes == ()
    (found,) = [item for item in changed.plan().findings if "work_mem" in item.problem]
    assert (found.subject, found.remedy) == (subject, f"ALTER {words} RESET work_mem, if that is not wanted")
    changed.run(found.remedy.partition(",")[0], database="template1")
    assert not [item for item in changed.plan().findings if "work_mem" in item.problem]


def test_other_databases_and_roles_are_not_looked_at() -> None:
    entries = (RoleSettings("other", "", ("search_path=x",)), RoleSettings("", "other", ("search_path=x",)))
    facts = Catalog(server=Server(database="ours", user="postgres"), role_settings=entries)
    assert session_settings.plan(facts, ROLE) == []
    assert session_settings.findings(facts, ROLE, frozenset()) == []


def test_the_value_of_a_setting_that_somebody_defined_is_not_shown() -> None:
    facts = Catalog(role_settings=(RoleSettings("", ROLE, ("app.key=secret",)),), server=Server(user="postgres"))
    (found,) = session_settings.findings(facts, ROLE, frozenset())
    assert "app.key" in found.problem
    assert "secret" not in repr(found)
