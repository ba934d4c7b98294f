"""The database itself: as declared, marked as ours, and never somebody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.errors import CatalogError
from infra.postgres import database
from infra.postgres.connection import connect
from infra.postgres.database import MARK, DatabaseDeclaration, is_ours, unfinished_name
from infra.postgres.facts import Catalog, Database
from tests.unit.postgres.conftest import Stage, mended


def _facts(**changes: object) -> Catalog:
    facts: dict[str, object] = {
        "name": "circlepay_db",
        "owner": "postgres",
        "encoding": "UTF8",
        "provider": "libc",
        "collate": "en_US.utf8",
        "ctype": "en_US.utf8",
        "locale": "en_US.utf8",
        "tablespace": "pg_default",
        "connection_limit": -1,
        "allows_connections": True,
        "template": False,
        "comment": MARK,
    }
    return Catalog(databases=(Database(**{**facts, **changes}),), tablespaces=("pg_default",))  # type: ignore[arg-type]


def test_nothing_to_do_for_a_database_as_declared() -> None:
    assert database.plan(_facts(), DatabaseDeclaration()) == []
    assert database.findings(_facts(), DatabaseDeclaration()) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"encoding": "LATIN1"}, "encoding is LATIN1, declared UTF8"),
        ({"collate": "C"}, "LC_COLLATE is C, declared en_US.UTF-8"),
        ({"ctype": "C"}, "LC_CTYPE is C, declared en_US.UTF-8"),
        ({"tablespace": "fast"}, "tablespace is fast, declared pg_default"),
        ({"provider": "builtin"}, "locale provider is builtin, declared libc"),
    ],
)
def test_what_cannot_change_is_reported_and_never_made_again(changes: dict[str, object], problem: str) -> None:
    facts = _facts(**changes)
    assert database.plan(facts, DatabaseDeclaration()) == []
    assert problem in [item.problem for item in database.findings(facts, DatabaseDeclaration())]


def test_a_missing_tablespace_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(CatalogError) as caught:
        database.plan(Catalog(tablespaces=("pg_default",)), DatabaseDeclaration(tablespace="fast"))
    assert caught.value.path == "postgres.tablespace"


def test_every_declared_property_arrives(bare: Stage) -> None:
    bare.apply(database={"connection_limit": 17})
    row = bare.ask(
        "SELECT format('%s %s %s %s %s %s', pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, "
        "datconnlimit, spcname) FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace "
        "WHERE datname = current_database()"
    )
    assert row == "postgres UTF8 C.UTF-8 C.UTF-8 17 pg_default"


@pytest.fixture
def owner(stage: Stage) -> Iterator[str]:
    stage.run("DROP ROLE IF EXISTS somebody", "CREATE ROLE somebody")
    yield "somebody"
    stage.apply()
    stage.run("REASSIGN OWNED BY somebody TO postgres", "DROP ROLE somebody")


def test_owner_and_limit_are_put_back(stage: Stage, owner: str) -> None:
    stage.run(f"ALTER DATABASE {stage.name} OWNER TO {owner}", f"ALTER DATABASE {stage.name} CONNECTION LIMIT 3")
    done = [line for line in mended(stage) if "privileges" not in line]
    assert done == [f"alter database {stage.name}"] * 2


def test_a_database_that_lets_nobody_in_is_opened(stage: Stage) -> None:
    stage.run(f"ALTER DATABASE {stage.name} ALLOW_CONNECTIONS false", database="postgres")
    assert [change.reason for change in stage.plan().changes][:1] == ["connections to it are not allowed"]
    outcome = stage.apply()
    assert [change.subject for change in outcome.changes] == [f"database {stage.name}"]
    assert stage.plan().changes == ()


def test_somebody_elses_database_is_refused(bare: Stage) -> None:
    bare.run(f"CREATE DATABASE {bare.name} TEMPLATE template0", database="postgres")
    bare.run("CREATE TABLE precious (x int)")
    for attempt in (bare.plan, bare.apply):
        with pytest.raises(CatalogError, match="was not made by this project") as caught:
            attempt()
        assert "postgres.adopt" in caught.value.hint
        assert "postgres.database" in caught.value.hint
    assert bare.ask("SELECT to_regclass('users')") is None


def test_a_database_interrupted_before_its_mark_is_made_again(bare: Stage) -> None:
    bare.run(f"CREATE DATABASE {unfinished_name(bare.name)}", database="postgres")
    done = mended(bare)
    assert done[:2] == [f"drop database {unfinished_name(bare.name)}", f"create database {bare.name}"]


def test_the_unfinished_name_fits() -> None:
    assert len(unfinished_name("x" * 63)) <= 63


@pytest.mark.parametrize(
    ("provider", "locale", "setting"),
    [
        ("libc", "xx_XX.UTF-8", "postgres.locale"),
        ("builtin", "en_US.UTF-8", "postgres.locale"),
    ],
)
def test_an_impossible_locale_is_an_error_before_anything_is_made(
    bare: Stage, provider: str, locale: str, setting: str
) -> None:
    for attempt in (bare.plan, bare.apply):
        with pytest.raises(CatalogError) as caught:
            attempt(database={"locale_provider": provider, "locale": locale})
        assert caught.value.path.startswith(setting)
        assert locale in caught.value.hint
    roles = "SELECT count(*) FROM pg_roles WHERE rolname = %s"
    databases = "SELECT count(*) FROM pg_database WHERE starts_with(datname, %s)"
    assert bare.ask(roles, bare.objects.role.name, database="postgres") == 0
    assert bare.ask(databases, bare.name, database="postgres") == 0


def test_the_builtin_locale_is_used_where_the_server_has_it(bare: Stage) -> None:
    declared = {"locale_provider": "builtin", "locale": "C.UTF-8"}
    with connect(bare.login.__class__(bare.login.endpoint, "postgres", bare.login.password, "postgres")) as connection:
        major = connection.info.server_version // 10000
    if major < 17:
        with pytest.raises(CatalogError, match="no builtin locale provider") as caught:
            bare.apply(database=declared)
        assert caught.value.path == "postgres.localeProvider"
        return
    bare.apply(database=declared)
    assert bare.plan(database=declared).changes == ()
    assert bare.ask("SELECT datlocale FROM pg_database WHERE datname = current_database()") == "C.UTF-8"


@pytest.mark.parametrize(("comment", "ours"), [(None, False), ("", False), ("my database", False), (MARK, True)])
def test_the_mark(comment: str | None, ours: bool) -> None:
    assert is_ours(comment) is ours


def test_a_database_declared_under_another_name_is_no_second_one(bare: Stage) -> None:
    bare.apply()
    renamed = {"name": f"{bare.name}_renamed", "sole": True}
    for attempt in (bare.plan, bare.apply):
        with pytest.raises(CatalogError, match="a second one would be empty") as caught:
            attempt(database=renamed)
        assert "RENAME TO" in caught.value.hint
    assert bare.ask("SELECT count(*) FROM pg_database WHERE datname LIKE %s", f"{bare.name}%", database="postgres") == 1


def test_a_database_renamed_by_hand_goes_on_under_its_new_name() -> None:
    assert database.plan(_facts(name="new"), DatabaseDeclaration("new", sole=True)) == []
