"""Privileges as documented and nothing beyond, each executed as the role."""

from __future__ import annotations

import psycopg
import pytest

from infra.postgres import privileges
from infra.postgres.catalog import read
from infra.postgres.privileges import Expectation, Object, PrivilegesDeclaration, expected
from tests.unit.postgres.conftest import ROLE, Stage, mended

OTHER = "reporting"


@pytest.fixture
def other(stage: Stage) -> str:
    """Somebody else's role."""
    if not stage.ask("SELECT true FROM pg_roles WHERE rolname = %s", OTHER):
        stage.run(f"CREATE ROLE {OTHER}")
    return OTHER


def _of(declaration: list[Expectation], kind: str, name: str) -> dict[str, bool]:
    return {
        item.privilege: item.allowed for item in declaration if (item.object.kind, item.object.name) == (kind, name)
    }


def test_the_declaration_says_what_may_and_what_may_not(stage: Stage) -> None:
    with stage.connect() as connection:
        facts = read(connection)
    declaration = expected(facts, stage.objects.privileges)
    assert _of(declaration, "database", stage.name) == {"CONNECT": True, "TEMPORARY": True, "CREATE": False}
    assert _of(declaration, "schema", "public") == {"USAGE": True, "CREATE": False}
    assert _of(declaration, "schema", "circlepay") == {"USAGE": False, "CREATE": False}
    assert set(_of(declaration, "table", "users").values()) == {True}
    assert ("MAINTAIN" in _of(declaration, "table", "users")) == (facts.server.major >= 17)
    assert set(_of(declaration, "table", "migrations").values()) == {False}
    assert _of(declaration, "sequence", "users_id_seq") == {"USAGE": True, "SELECT": True, "UPDATE": True}
    assert _of(declaration, "function", "update_updated_at_column") == {"EXECUTE": True}


def test_the_server_agrees_with_the_whole_declaration(stage: Stage) -> None:
    with stage.connect() as connection:
        declaration = expected(read(connection), stage.objects.privileges)
        for item in declaration:
            assert _has(connection, item.object, item.privilege) is item.allowed, f"{item.privilege} on {item.object}"
    assert len(declaration) > 40


def _has(connection: psycopg.Connection, item: Object, privilege: str) -> bool:
    names = {
        "database": item.name,
        "schema": item.name,
        "function": f"{item.schema}.{item.name}({item.detail})",
    }
    name = names.get(item.kind, f"{item.schema}.{item.name}")
    query = f"SELECT has_{item.kind}_privilege(%s, %s, %s)"
    row = connection.execute(query.encode(), (ROLE, name, privilege)).fetchone()
    return bool(row and row[0])


TABLES = ("kyc_documents", "transactions", "users", "wallets")


MENDED = {
    "a revoked privilege": (
        ["REVOKE INSERT ON users FROM circlepay_user"],
        ["grant privileges of circlepay_user on table public.users"],
    ),
    "everything revoked": (
        ["REVOKE ALL ON ALL TABLES IN SCHEMA public FROM circlepay_user"],
        ["grant privileges of circlepay_user on all tables in schema public"],
    ),
    "a sequence revoked": (
        ["REVOKE USAGE ON SEQUENCE users_id_seq FROM circlepay_user"],
        ["grant privileges of circlepay_user on sequence public.users_id_seq"],
    ),
    "the schema closed": (
        ["REVOKE USAGE ON SCHEMA public FROM circlepay_user"],
        ["grant privileges of circlepay_user on schema public"],
    ),
    "the schema opened": (
        ["GRANT CREATE ON SCHEMA public TO circlepay_user"],
        ["revoke privileges of circlepay_user on schema public"],
    ),
    "the record opened": (
        ["GRANT USAGE ON SCHEMA circlepay TO circlepay_user", "GRANT SELECT ON circlepay.migrations TO circlepay_user"],
        [
            "revoke privileges of circlepay_user on schema circlepay",
            "revoke privileges of circlepay_user on table circlepay.migrations",
        ],
    ),
    "privileges that may be passed on": (
        ["GRANT SELECT, UPDATE ON users TO circlepay_user WITH GRANT OPTION"],
        ["revoke privileges of circlepay_user on table public.users"],
    ),
    "a column of the record": (
        ["GRANT SELECT (name) ON circlepay.migrations TO circlepay_user"],
        ["revoke privileges of circlepay_user on column circlepay.migrations.name"],
    ),
    "a system catalog": (
        ["GRANT SELECT ON pg_authid TO circlepay_user"],
        ["revoke privileges of circlepay_user on table pg_catalog.pg_authid"],
    ),
    "somebody else's schema and table": (
        [
            "CREATE SCHEMA mine",
            "CREATE TABLE mine.t (x int)",
            "GRANT USAGE ON SCHEMA mine TO circlepay_user",
            "GRANT SELECT ON mine.t TO circlepay_user",
        ],
        [
            "revoke privileges of circlepay_user on schema mine",
            "revoke privileges of circlepay_user on table mine.t",
        ],
    ),
    "a table for everybody": (
        ["GRANT SELECT ON users TO PUBLIC"],
        ["revoke privileges of PUBLIC on table public.users"],
    ),
    "a schema for everybody": (
        ["GRANT CREATE ON SCHEMA public TO PUBLIC"],
        ["revoke privileges of PUBLIC on schema public"],
    ),
    "what everybody has by default": (
        ["REVOKE USAGE ON SCHEMA public FROM PUBLIC"],
        ["grant privileges of PUBLIC on schema public"],
    ),
    "a function for the role": (
        ["GRANT EXECUTE ON FUNCTION update_updated_at_column() TO circlepay_user"],
        ["revoke privileges of circlepay_user on function public.update_updated_at_column()"],
    ),
    "a function closed": (
        ["REVOKE EXECUTE ON FUNCTION update_updated_at_column() FROM PUBLIC"],
        ["grant privileges of PUBLIC on function public.update_updated_at_column()"],
    ),
    "defaults revoked": (
        [
            "ALTER DEFAULT PRIVILEGES FOR ROLE circlepay_owner IN SCHEMA public REVOKE INSERT ON TABLES FROM circlepay_user"
        ],
        ["grant default privileges of circlepay_user on tables of circlepay_owner in schema public"],
    ),
    "defaults all gone": (
        [
            "ALTER DEFAULT PRIVILEGES FOR ROLE circlepay_owner IN SCHEMA public REVOKE ALL ON SEQUENCES FROM circlepay_user"
        ],
        ["grant default privileges of circlepay_user on sequences of circlepay_owner in schema public"],
    ),
    "defaults for functions": (
        ["ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO circlepay_user"],
        ["revoke default privileges of circlepay_user on functions of postgres in schema public"],
    ),
    "defaults everywhere": (
        ["ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO circlepay_user"],
        ["revoke default privileges of circlepay_user on tables of postgres"],
    ),
    "defaults for everybody": (
        ["ALTER DEFAULT PRIVILEGES FOR ROLE circlepay_owner IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC"],
        ["revoke default privileges of PUBLIC on tables of circlepay_owner in schema public"],
    ),
    "defaults that may be passed on": (
        ["ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO circlepay_user WITH GRANT OPTION"],
        ["revoke default privileges of circlepay_user on tables of postgres in schema public"],
    ),
    "defaults of the superuser, as the document has them": (
        ["ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO circlepay_user"],
        ["revoke default privileges of circlepay_user on tables of postgres in schema public"],
    ),
    "the owner cannot create": (
        ["REVOKE CREATE ON SCHEMA public FROM circlepay_owner"],
        ["grant privileges of circlepay_owner on schema public"],
    ),
}


@pytest.mark.parametrize("name", MENDED)
def test_is_put_back(stage: Stage, name: str) -> None:
    statements, done = MENDED[name]
    stage.run(*statements)
    assert mended(stage) == done


def test_database_privileges_are_put_back(stage: Stage) -> None:
    stage.run(
        f"REVOKE CONNECT ON DATABASE {stage.name} FROM {ROLE}",
        f"GRANT CREATE ON DATABASE {stage.name} TO {ROLE}",
        f"REVOKE TEMPORARY ON DATABASE {stage.name} FROM PUBLIC",
    )
    database = f"database {stage.name}"
    assert mended(stage) == [
        f"revoke privileges of {ROLE} on {database}",
        f"grant privileges of PUBLIC on {database}",
        f"grant privileges of {ROLE} on {database}",
    ]


def test_a_privilege_granted_by_another_grantor_is_revoked_too(stage: Stage, other: str) -> None:
    stage.run(
        f"GRANT SELECT ON circlepay.migrations TO {other} WITH GRANT OPTION",
        f"GRANT USAGE ON SCHEMA circlepay TO {other}",
    )
    with stage.connect() as connection:
        connection.execute(f"SET ROLE {other}".encode())
        connection.execute(f"GRANT SELECT ON circlepay.migrations TO {ROLE}".encode())
    assert mended(stage) == [f"revoke privileges of {ROLE} on table circlepay.migrations"]


def test_what_the_owner_creates_later_can_be_used_at_once(stage: Stage) -> None:
    stage.run("SET ROLE circlepay_owner", "CREATE TABLE later (id serial, x int)")
    with stage.as_application() as connection:
        connection.execute("INSERT INTO later (x) VALUES (1)")
        assert connection.execute("SELECT count(*) FROM later").fetchone() == (1,)
    assert stage.plan().changes == ()


def test_grants_to_others_are_reported_and_left(stage: Stage, other: str) -> None:
    stage.run(f"GRANT SELECT ON users TO {other}")
    outcome = stage.apply()
    assert outcome.changes == ()
    assert [item.problem for item in outcome.findings if item.subject == f"role {other}"] == [
        "was granted SELECT on table public.users"
    ]


def test_defaults_for_others_are_reported_and_left(stage: Stage, other: str) -> None:
    stage.run(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {other}")
    outcome = stage.apply()
    assert outcome.changes == ()
    assert any(other in item.problem for item in outcome.findings if item.subject == "default privileges of postgres")


def test_privileges_of_a_kind_that_is_not_managed_are_reported(stage: Stage) -> None:
    stage.run("SELECT lo_create(4711)", f"GRANT SELECT ON LARGE OBJECT 4711 TO {ROLE}")
    assert any("large object 4711" in item.problem for item in stage.plan().findings)


def test_what_everybody_may_do_by_default_is_shown_and_can_be_taken_away(stage: Stage) -> None:
    shown = [item for item in stage.plan().findings if "PUBLIC" in item.problem]
    assert len(shown) == 1
    assert "restrictPublic" in shown[0].remedy
    strict = {"privileges": {"strict": True}}
    assert mended(stage, **strict) == [f"revoke privileges of PUBLIC on database {stage.name}"]
    assert not [item for item in stage.plan(**strict).findings if "PUBLIC" in item.problem]
    with stage.as_application() as connection:
        connection.execute("SELECT 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TEMPORARY TABLE t (x int)")
    assert mended(stage) == [f"grant privileges of PUBLIC on database {stage.name}"]


def test_what_reaches_beyond_rows_is_priced_and_can_be_withheld(stage: Stage) -> None:
    beyond = (
        {"TRUNCATE", "TRIGGER", "MAINTAIN"}
        if stage.ask("SHOW server_version_num") >= "170000"
        else {"TRUNCATE", "TRIGGER"}
    )
    price = next(item for item in stage.plan().findings if "documented ALL" in item.problem)
    assert "restrictApplication" in price.remedy
    assert "circlepay_owner" in price.cost
    restricted = {"privileges": {"restricted": True, "strict": True}}
    done = mended(stage, **restricted)
    assert done == [
        f"revoke privileges of PUBLIC on database {stage.name}",
        *(f"revoke privileges of {ROLE} on table public.{name}" for name in TABLES),
        f"revoke default privileges of {ROLE} on tables of circlepay_owner in schema public",
    ]
    stage.run("SET ROLE circlepay_owner", "CREATE TABLE later (x int)")
    with stage.connect() as connection:
        facts = read(connection)
    for item in expected(facts, stage.declared(**restricted).privileges):
        with stage.connect() as connection:
            assert _has(connection, item.object, item.privilege) is item.allowed, f"{item.privilege} on {item.object}"
        assert item.object.kind != "table" or item.privilege not in beyond or not item.allowed
    assert not [item for item in stage.plan(**restricted).findings if "documented ALL" in item.problem]
    stage.run("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM circlepay_user")
    assert mended(stage, **restricted) == [f"grant privileges of {ROLE} on all tables in schema public"]
    assert len(mended(stage)) == 2 + len(TABLES) + 1


def test_a_function_that_acts_as_its_owner_where_its_caller_says_is_told(stage: Stage) -> None:
    head = "LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"
    stage.run(
        f"CREATE FUNCTION lent() RETURNS int {head}",
        f"CREATE FUNCTION fixed() RETURNS int SET search_path = public {head}",
    )
    told = [item.subject for item in stage.plan().findings if "SECURITY DEFINER" in item.problem]
    assert told == ["function public.lent()"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE ROLE x",
        "CREATE DATABASE x",
        "CREATE TABLE x (id int)",
        "CREATE SCHEMA x",
        "SELECT * FROM pg_authid",
        "SELECT * FROM circlepay.migrations",
        "ALTER TABLE users ADD COLUMN x int",
        "DROP TABLE users",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "COPY users TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
        "CREATE EXTENSION dblink",
    ],
)
def test_the_role_cannot(stage: Stage, statement: str) -> None:
    with (
        stage.as_application() as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)),
    ):
        connection.execute(statement.encode())


def test_the_plan_is_pure_and_empty_where_nothing_differs(stage: Stage) -> None:
    with stage.connect() as connection:
        facts = read(connection)
    assert privileges.plan(facts, stage.objects.privileges) == []
    stranger = PrivilegesDeclaration("nobody_yet")
    assert privileges.plan(facts, stranger) == privileges.plan(facts, stranger) != []
