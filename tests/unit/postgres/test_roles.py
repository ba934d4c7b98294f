"""The application's role: as declared, ours, and its password never in plain text anywhere on the server."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import CatalogError, ServerError
from infra.postgres import roles
from infra.postgres.database import MARK
from infra.postgres.facts import Catalog, Role
from infra.postgres.roles import RoleDeclaration, matches, verifier
from tests.unit.postgres.conftest import PASSWORD, ROLE, Stage, mended

_PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


def _role(password: str = PASSWORD, **changes: object) -> Role:
    facts: dict[str, object] = {
        "name": ROLE,
        "superuser": False,
        "inherit": True,
        "create_role": False,
        "create_database": False,
        "login": True,
        "replication": False,
        "bypass_rls": False,
        "connection_limit": -1,
        "expires": False,
        "verifier": verifier(password),
        "comment": MARK,
    }
    return Role(**{**facts, **changes})  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(_PRINTABLE)
def test_a_verifier_is_recognized_again_and_holds_no_password(password: str) -> None:
    stored = verifier(password)
    assert matches(password, stored)
    assert not matches(password + "x", stored)
    assert stored != verifier(password), "the salt is new each time"


def test_a_verifier_is_the_one_of_the_standard() -> None:
    # RFC 7677, section 3: user "user", password "pencil"; the keys are what that exchange's proofs are made with.
    salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"
    assert verifier("pencil", salt=salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize("stored", [None, "", "md5abc", "SCRAM-SHA-256$x:y$z:w", "SCRAM-SHA-256$4096:$:"])
def test_anything_else_is_not_a_verifier_of_it(stored: str | None) -> None:
    assert not matches(PASSWORD, stored)


@pytest.mark.parametrize("password", ["", "pässword", "new\nline", "tab\t"])
def test_a_password_that_clients_would_normalize_is_refused(password: str) -> None:
    with pytest.raises(CatalogError, match="printable ASCII"):
        verifier(password)


def test_nothing_to_do_for_a_role_as_declared() -> None:
    assert roles.plan(Catalog(roles=(_role(),)), RoleDeclaration(ROLE, PASSWORD)) == []


def test_no_plan_shows_the_password_or_a_verifier() -> None:
    declared = RoleDeclaration(ROLE, PASSWORD)
    for facts in (Catalog(), Catalog(roles=(_role("other", superuser=True),))):
        for change in roles.plan(facts, declared):
            assert PASSWORD not in repr(change.as_dict())
            assert "SCRAM" not in repr(change.as_dict())
    assert PASSWORD not in repr(declared)
    assert "SCRAM" not in repr(_role())


ATTRIBUTES = ["SUPERUSER", "CREATEDB", "CREATEROLE", "NOINHERIT", "REPLICATION", "BYPASSRLS", "NOLOGIN"]


@pytest.fixture
def changed(stage: Stage) -> Iterator[Stage]:
    """The role belongs to the whole server: whatever a test did to it is undone."""
    yield stage
    stage.apply()
    stage.run(f"ALTER ROLE {ROLE} RESET ALL", database="postgres")


@pytest.mark.parametrize(
    ("clause", "reason"),
    [
        *((name, f"has {name}") for name in ATTRIBUTES),
        ("CONNECTION LIMIT 3", "connection limit is 3, declared -1"),
        ("VALID UNTIL '2020-01-01'", "its password has an expiry date"),
        ("PASSWORD 'something-else'", "its password is not the declared one"),
        ("PASSWORD NULL", "its password is missing"),
    ],
)
def test_a_changed_role_is_put_back(changed: Stage, clause: str, reason: str) -> None:
    changed.run(f"ALTER ROLE {ROLE} WITH {clause}")
    planned = changed.plan().changes
    assert [change.action for change in planned] == ["alter"]
    assert planned[0].reason.startswith(reason)
    assert mended(changed) == [f"alter role {ROLE}"]
    with changed.as_application():
        pass


def test_a_membership_ends(changed: Stage) -> None:
    changed.run("DROP ROLE IF EXISTS other_owner", "CREATE ROLE other_owner", f"GRANT other_owner TO {ROLE}")
    changed.run(f"GRANT pg_read_all_data TO {ROLE}")
    assert mended(changed) == [f"revoke role {ROLE}", f"revoke role {ROLE}"]
    changed.run("DROP ROLE other_owner")


def test_who_may_act_as_the_role_is_reported(changed: Stage) -> None:
    changed.run("DROP ROLE IF EXISTS intruder", "CREATE ROLE intruder", f"GRANT {ROLE} TO intruder")
    assert changed.plan().changes == ()
    assert [item.problem for item in changed.plan().findings if "member" in item.problem] == [
        "intruder is a member of it and has all its privileges"
    ]
    changed.run("DROP ROLE intruder")


def test_a_dropped_role_comes_back(bare: Stage) -> None:
    bare.apply()
    name = bare.objects.role.name
    bare.run(f"DROP OWNED BY {name}", f"DROP ROLE {name}")
    done = mended(bare)
    assert done[0] == f"create role {name}"
    with bare.as_application() as connection:
        connection.execute("SELECT * FROM users")


def a_foreign_role_is_refused(bare: Stage, name: str, setting: str) -> None:
    """One of that name is there before anything is made, and nothing is made. setting: the one that names it."""
    bare.run(f"CREATE ROLE {name} LOGIN PASSWORD 'mine'", database="postgres")
    for attempt in (bare.plan, bare.apply):
        with pytest.raises(CatalogError, match="was not made by this project") as caught:
            attempt()
        assert "adopt" in caught.value.hint
        assert setting in caught.value.hint
    assert not bare.ask("SELECT true FROM pg_database WHERE datname = %s", bare.name, database="postgres")


def test_a_role_that_is_not_ours_is_refused_before_anything_is_made(bare: Stage) -> None:
    name = bare.objects.role.name
    a_foreign_role_is_refused(bare, name, "applicationRole")
    done = [f"{change.action} {change.subject}" for change in bare.apply(role={"adopt": True}).changes]
    assert f"adopt role {name}" in done
    assert bare.plan().changes == ()


def test_not_even_a_server_that_logs_everything_learns_a_password(bare: Stage) -> None:
    log = bare.server.folder / "server.log"
    bare.run("ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()", database="postgres")
    try:
        bare.apply()
        bare.run(f"ALTER ROLE {bare.objects.role.name} PASSWORD NULL")
        bare.apply()
        with pytest.raises(ServerError), bare.as_application("wrong-password-1"):
            pass
    finally:
        bare.run("ALTER SYSTEM RESET log_statement", "SELECT pg_reload_conf()", database="postgres")
    text = log.read_text(encoding="utf-8")
    assert f'CREATE ROLE "{bare.objects.role.name}"' in text, "statements are logged"
    for secret in (PASSWORD, PASSWORD.replace("'", "''"), "wrong-password-1", bare.server.password):
        assert secret not in text


def test_a_verifier_made_here_is_accepted_by_the_server(stage: Stage) -> None:
    stored = stage.ask("SELECT rolpassword FROM pg_authid WHERE rolname = %s", ROLE)
    assert stored.startswith("SCRAM-SHA-256$4096:")
    assert matches(PASSWORD, stored)
    with stage.connect() as connection, pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute("ALTER ROLE nobody_here LOGIN")


def test_a_role_declared_under_another_name_is_no_second_one(bare: Stage) -> None:
    bare.apply()
    for attempt in (bare.plan, bare.apply):
        with pytest.raises(CatalogError, match="it would keep its login") as caught:
            attempt(role={"name": f"{bare.objects.role.name}2", "sole": True})
        assert "RENAME TO" in caught.value.hint
