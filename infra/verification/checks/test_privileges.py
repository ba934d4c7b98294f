"""The privileges that the application's role must and must not have, tested as that role and rolled back."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import sql

from infra.verification.checks.expectation import MismatchError, expect
from infra.verification.checks.expected import SEQUENCE_PRIVILEGES, SEQUENCES, TABLE_PRIVILEGES, TABLES
from infra.verification.checks.observations import Connection, attempt
from infra.verification.subject import Subject

PERMISSION_DENIED = "42501"
UNDEFINED_OBJECT = ("42P01", "42704")
"""undefined_table, undefined_object: the object is missing, which other checks report."""
ATTRIBUTES: dict[str, object] = {
    "rolcanlogin": True,
    "rolinherit": True,
    "rolsuper": False,
    "rolcreatedb": False,
    "rolcreaterole": False,
    "rolreplication": False,
    "rolbypassrls": False,
    "rolconnlimit": -1,
    "rolvaliduntil": None,
}
BEYOND_ROWS = ("TRUNCATE", "TRIGGER")
"""Withheld where the stack restricts the application, with MAINTAIN."""
OWNER_ATTRIBUTES = {**ATTRIBUTES, "rolcanlogin": False, "password": False}
EVERY_TABLE = [(table, privilege) for table in TABLES for privilege in TABLE_PRIVILEGES]
EVERY_SEQUENCE = [(sequence, privilege) for sequence in SEQUENCES for privilege in SEQUENCE_PRIVILEGES]

FORBIDDEN = {
    "create a table in public": "CREATE TABLE public.circlepay_verification (id integer)",
    "create a function in public": "CREATE FUNCTION public.circlepay_verification() RETURNS integer"
    " LANGUAGE sql RETURN 1",
    "create a schema": "CREATE SCHEMA circlepay_verification",
    "create a role": "CREATE ROLE circlepay_verification",
    "change its own attributes": "ALTER ROLE CURRENT_USER CREATEROLE",
    "drop a table": "DROP TABLE public.transactions",
    "alter a table": "ALTER TABLE public.users ADD COLUMN circlepay_verification integer",
    "disable a trigger": "ALTER TABLE public.users DISABLE TRIGGER update_users_updated_at",
    "drop an index": "DROP INDEX public.users_pkey",
    "replace the trigger function": "CREATE OR REPLACE FUNCTION public.update_updated_at_column()"
    " RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "switch triggers off": "SET LOCAL session_replication_role = replica",
    "read password verifiers": "SELECT rolpassword FROM pg_authid LIMIT 1",
    "read the migrations' record": "SELECT version FROM circlepay.migrations LIMIT 1",
    "write the migrations' record": "DELETE FROM circlepay.migrations WHERE false",
    "read files of the server": "SELECT pg_read_file('PG_VERSION')",
    "run programs on the server": "COPY (SELECT 1) TO PROGRAM 'true'",
}
"""Statements that are tried inside a transaction. Each is refused before it takes a lock, or takes none."""


def expect_refusal(state: str | None, what: str) -> None:
    """Raises MismatchError unless the attempt was refused because of a missing privilege."""
    if state in UNDEFINED_OBJECT:
        pytest.skip(f"{what}: the object does not exist")
    if state != PERMISSION_DENIED:
        outcome = "it can" if state is None else f"it has the privilege; the attempt failed with SQLSTATE {state}"
        remedy = "run `make up`: it revokes what was granted; the server's log may show who granted it"
        raise MismatchError(f"the application cannot {what} (SQLSTATE {PERMISSION_DENIED})", outcome, remedy)


def attribute_of(catalog: dict[str, Any], role: str, attribute: str) -> object:
    """A column of pg_roles."""
    observed = ((catalog["roles"] or {}).get(role) or {}).get(attribute, "no such role")
    # PostgreSQL has no way back from an expiry date to none; `infinity` means the same.
    return None if observed == "infinity" else observed


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_role_attribute(catalog: dict[str, Any], subject: Subject, attribute: str) -> None:
    expect(attribute_of(catalog, subject.postgres.application_role, attribute), ATTRIBUTES[attribute])


def test_role_is_member_of_nothing(catalog: dict[str, Any], subject: Subject) -> None:
    expect(catalog["memberships"][subject.postgres.application_role], [])


@pytest.mark.parametrize("attribute", OWNER_ATTRIBUTES)
def test_owner_attribute(catalog: dict[str, Any], subject: Subject, attribute: str) -> None:
    """What a trigger does in a cascade, the owner of the table does."""
    expect(attribute_of(catalog, subject.postgres.owner, attribute), OWNER_ATTRIBUTES[attribute])


def test_owner_is_member_of_nothing(catalog: dict[str, Any], subject: Subject) -> None:
    expect((catalog["memberships"] or {}).get(subject.postgres.owner, "no such role"), [])


def test_superusers_own_nothing_here(catalog: dict[str, Any]) -> None:
    expect(catalog["superusers_objects"], [], "run `make up`: it gives them to the owner, who is no superuser")


def test_may_connect_and_use_the_schema(application: Connection, subject: Subject) -> None:
    row = application.execute(
        "SELECT has_database_privilege(%s, 'CONNECT') AS connect, has_schema_privilege('public', 'USAGE') AS usage",
        [subject.postgres.database],
    ).fetchone()
    expect(row, {"connect": True, "usage": True})


def test_owns_nothing(superuser: Connection, subject: Subject) -> None:
    row = superuser.execute(
        "SELECT count(*) AS owned FROM pg_shdepend d JOIN pg_roles r ON d.refobjid = r.oid"
        " WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND r.rolname = %s",
        [subject.postgres.application_role],
    ).fetchone()
    expect(row, {"owned": 0}, "the application can drop objects it owns: ALTER ... OWNER TO; pg_shdepend lists them")


@pytest.mark.parametrize(("table", "privilege"), EVERY_TABLE)
def test_table_privilege(application: Connection, subject: Subject, table: str, privilege: str) -> None:
    row = application.execute("SELECT has_table_privilege(%s, %s) AS held", [f"public.{table}", privilege]).fetchone()
    expect(row, {"held": not (subject.postgres.application_restricted and privilege in BEYOND_ROWS)})


@pytest.mark.parametrize("table", TABLES)
def test_may_maintain(application: Connection, subject: Subject, table: str) -> None:
    """GRANT ALL includes MAINTAIN from PostgreSQL 17 on."""
    if application.info.server_version >= 170000:
        row = application.execute("SELECT has_table_privilege(%s, 'MAINTAIN') AS held", [f"public.{table}"]).fetchone()
        expect(row, {"held": not subject.postgres.application_restricted})


@pytest.mark.parametrize(("sequence", "privilege"), EVERY_SEQUENCE)
def test_sequence_privilege(application: Connection, sequence: str, privilege: str) -> None:
    row = application.execute(
        "SELECT has_sequence_privilege(%s, %s) AS held", [f"public.{sequence}", privilege]
    ).fetchone()
    expect(row, {"held": True})


@pytest.mark.parametrize("table", TABLES)
def test_may_read(application: Connection, table: str) -> None:
    query = sql.SQL("SELECT * FROM public.{} LIMIT 1").format(sql.Identifier(table))
    expect(attempt(application, query), None)


@pytest.mark.parametrize("table", TABLES)
def test_may_write(application: Connection, table: str) -> None:
    name = sql.Identifier(table)
    update = sql.SQL("UPDATE public.{} SET id = id WHERE false").format(name)
    delete = sql.SQL("DELETE FROM public.{} WHERE false").format(name)
    expect((attempt(application, update), attempt(application, delete)), (None, None))


@pytest.mark.parametrize("what", FORBIDDEN)
def test_cannot(application: Connection, what: str) -> None:
    expect_refusal(attempt(application, FORBIDDEN[what]), what)


def test_cannot_change_the_servers_configuration(application: Connection) -> None:
    query = "SELECT name FROM pg_settings WHERE has_parameter_privilege(name, 'ALTER SYSTEM') ORDER BY 1"
    expect([row["name"] for row in application.execute(query).fetchall()], [])


@pytest.mark.parametrize("table", TABLES)
def test_cannot_pass_on_its_privileges(application: Connection, table: str) -> None:
    # Catalog functions are asked, because GRANT without the grant option only warns.
    grantable = [f"{privilege} WITH GRANT OPTION" for privilege in TABLE_PRIVILEGES]
    row = application.execute(
        "SELECT has_table_privilege(%s, %s) AS held", [f"public.{table}", ", ".join(grantable)]
    ).fetchone()
    expect(row, {"held": False})


def test_cannot_become_the_owner(application: Connection, subject: Subject) -> None:
    statement = sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(subject.postgres.owner))
    expect_refusal(attempt(application, statement), "become the owner")


def test_future_tables(superuser: Connection, subject: Subject) -> None:
    """The application can use tables that the owner creates later, with their sequences; the table is rolled back."""
    become = sql.SQL("SET LOCAL ROLE {}")
    with superuser.transaction(force_rollback=True):
        superuser.execute(become.format(sql.Identifier(subject.postgres.owner)))
        superuser.execute("CREATE TABLE public.circlepay_verification (id serial PRIMARY KEY, note text)")
        superuser.execute(become.format(sql.Identifier(subject.postgres.application_role)))
        superuser.execute("INSERT INTO public.circlepay_verification (note) VALUES ('usable')")
        superuser.execute("UPDATE public.circlepay_verification SET note = 'changed'")
        row = superuser.execute("DELETE FROM public.circlepay_verification RETURNING note").fetchone()
        held = superuser.execute(
            "SELECT has_table_privilege('public.circlepay_verification', 'TRUNCATE') AS held"
        ).fetchone()
    expect(held, {"held": not subject.postgres.application_restricted})
    expect(row, {"note": "changed"})


def test_holds_no_privileges_on_parameters(superuser: Connection, subject: Subject) -> None:
    rows = superuser.execute(
        "SELECT a.privilege_type || ' on ' || p.parname AS held FROM pg_parameter_acl p, aclexplode(p.paracl) a"
        " WHERE a.grantee IN (0, (SELECT oid FROM pg_roles WHERE rolname = %s)) ORDER BY 1",
        [subject.postgres.application_role],
    ).fetchall()
    expect([row["held"] for row in rows], [])


def test_public_on_the_database(superuser: Connection, subject: Subject) -> None:
    rows = superuser.execute(
        "SELECT a.privilege_type AS held FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a"
        " WHERE d.datname = %s AND a.grantee = 0 ORDER BY 1",
        [subject.postgres.database],
    ).fetchall()
    expect([row["held"] for row in rows], [] if subject.postgres.public_restricted else ["CONNECT", "TEMPORARY"])


def test_public_holds_nothing_on_tables(superuser: Connection) -> None:
    rows = superuser.execute(
        "SELECT c.relname || ': ' || a.privilege_type AS held FROM pg_class c, aclexplode(c.relacl) a"
        " WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = 0 ORDER BY 1"
    ).fetchall()
    expect([row["held"] for row in rows], [])
