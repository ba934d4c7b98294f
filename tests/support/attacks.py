"""Ways from the application's login to more than it was given, as somebody with the env file would type them.

Every attempt runs in a transaction that is rolled back, so that a live stack may be attacked too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

Session = psycopg.Connection[Any]

ROW = """
WITH made AS (
    INSERT INTO public.users (email, first_name, last_name, country_code)
    VALUES ('attack@circlepay.test', 'A', 'B', 'KR') RETURNING id
)
INSERT INTO public.wallets (user_id, circle_wallet_id, chain_id, chain_name) SELECT id, 'attack', 1, 'ETH' FROM made;
"""

CASCADE = """
CREATE FUNCTION pg_temp.payload() RETURNS trigger LANGUAGE plpgsql AS $payload$
BEGIN
    EXECUTE $action${action}$action$;
    RETURN OLD;
END $payload$;
CREATE TRIGGER payload BEFORE DELETE ON public.wallets FOR EACH ROW EXECUTE FUNCTION pg_temp.payload();
{row}
DELETE FROM public.users WHERE email = 'attack@circlepay.test';
"""
"""A cascade deletes as the owner of the referencing table, and so runs that table's triggers as its owner."""

BEYOND = {
    "run a program on the server": "COPY (SELECT 1) TO PROGRAM 'true'",
    "become superuser": "ALTER ROLE {role} SUPERUSER",
    "create a superuser": "CREATE ROLE circlepay_attack SUPERUSER LOGIN",
    "join a role that runs programs": "GRANT pg_execute_server_program TO {role}",
    "join a role that reads everything": "GRANT pg_read_all_data TO {role}",
    "become the superuser": "GRANT postgres TO {role}",
    "become the owner": "GRANT circlepay_owner TO {role}",
    "read password verifiers": "SELECT rolpassword FROM pg_authid",
    "read a file of the server": "SELECT pg_read_file('PG_VERSION')",
    "list a folder of the server": "SELECT pg_ls_dir('.')",
    "read a file as a large object": "SELECT lo_import('PG_VERSION')",
    "write a file of the server": "SELECT lo_export(0, '/circlepay-attack')",
    "load a table from a file": "COPY public.users FROM '/etc/passwd'",
    "change the server's settings": "SELECT set_config('log_statement', 'none', true)",
    "switch triggers and foreign keys off": "SELECT set_config('session_replication_role', 'replica', true)",
    "reload the server": "SELECT pg_reload_conf()",
    "end the superuser's sessions": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "be told of every change": "CREATE EVENT TRIGGER attack ON ddl_command_end EXECUTE FUNCTION pg_catalog.version()",
    "write functions in C": "CREATE FUNCTION pg_temp.c() RETURNS int LANGUAGE c AS 'circlepay', 'c'",
    "write functions that know no rules": "CREATE FUNCTION pg_temp.i() RETURNS int LANGUAGE internal AS 'pi'",
    "add a language": "CREATE LANGUAGE attack HANDLER plpgsql_call_handler",
    "add an extension that reads files": "CREATE EXTENSION file_fdw",
    "read the migrations' record": "SELECT version FROM circlepay.migrations",
    "change the migrations' record": "DELETE FROM circlepay.migrations",
    "add a trigger to the migrations' record": "CREATE TRIGGER attack BEFORE INSERT ON circlepay.migrations"
    " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "put a view in place of the migrations' record": "ALTER TABLE circlepay.migrations RENAME TO record",
    "write a function next to the migrations' record": "CREATE FUNCTION circlepay.f() RETURNS int LANGUAGE sql RETURN 1",
    "grant future tables of the superuser": "ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT ALL ON TABLES TO {role}",
    "own the database": "ALTER DATABASE {database} OWNER TO {role}",
    "change settings of the database's sessions": "ALTER DATABASE {database} SET search_path = pg_temp",
    "change settings of the superuser's sessions": "ALTER ROLE postgres SET search_path = pg_temp",
}
"""What neither the application nor the owner of its tables may do: the attempt must be refused, alone and in a cascade."""

ALONE = {
    "write a function in the application's schema": "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1",
    "replace the trigger's function": "CREATE OR REPLACE FUNCTION public.update_updated_at_column() RETURNS trigger"
    " LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "let the trigger's function run as its owner": "ALTER FUNCTION public.update_updated_at_column() SECURITY DEFINER",
    "take the trigger's function": "ALTER FUNCTION public.update_updated_at_column() OWNER TO {role}",
    "make an operator": "CREATE OPERATOR public.=== (FUNCTION = pg_catalog.int4eq, LEFTARG = int, RIGHTARG = int)",
    "make a cast": "CREATE CAST (public.users AS text) WITH INOUT AS IMPLICIT",
    "make a schema": "CREATE SCHEMA attack",
    "make a view": "CREATE VIEW public.attack AS SELECT 1",
    "add a rule": "CREATE RULE attack AS ON INSERT TO public.users DO ALSO SELECT 1",
    "add a policy": "CREATE POLICY attack ON public.users USING (true)",
    "add a column computed by a function": "ALTER TABLE public.users ADD COLUMN attack int DEFAULT pg_catalog.pg_backend_pid()",
    "add an index computed by a function": "CREATE INDEX ON public.users ((pg_catalog.lower(email)))",
    "take a table": "ALTER TABLE public.users OWNER TO {role}",
    "become the superuser by SET ROLE": "SET LOCAL ROLE postgres",
    "become the owner by SET ROLE": "SET LOCAL ROLE circlepay_owner",
    "become the superuser by SET SESSION AUTHORIZATION": "SET LOCAL SESSION AUTHORIZATION postgres",
    "grant future tables of the owner": "ALTER DEFAULT PRIVILEGES FOR ROLE circlepay_owner GRANT ALL ON TABLES TO PUBLIC",
    "change settings of the owner": "ALTER ROLE circlepay_owner SET search_path = pg_temp",
    "add an extension": "CREATE EXTENSION citext",
}
"""What the application may not do, although the owner of its tables may."""

REFUSED = frozenset({"42501", "0LP01"})
"""insufficient_privilege, invalid_grant_operation."""


def attacks() -> dict[str, Callable[[Session], None]]:
    """Name of each attack -> what makes the attempt; it raises psycopg.Error where it is refused."""
    alone = {name: _alone(statement) for name, statement in {**BEYOND, **ALONE}.items()}
    cascades = {f"{name}, in a cascade": _in_a_cascade(statement) for name, statement in BEYOND.items()}
    return {**alone, **cascades}


def _alone(statement: str) -> Callable[[Session], None]:
    return lambda session: _run(session, statement)


def _in_a_cascade(statement: str) -> Callable[[Session], None]:
    return lambda session: _run(session, CASCADE.replace("{action}", statement).replace("{row}", ROW))


def _run(session: Session, statements: str) -> None:
    names = {"{role}": session.info.user, "{database}": session.info.dbname}
    for placeholder, name in names.items():
        statements = statements.replace(placeholder, name)
    with session.transaction(force_rollback=True):
        session.execute(statements.encode())


def succeeded(session: Session) -> dict[str, str]:
    """Every attack that was not refused for lack of a privilege -> how it ended; empty where all were."""
    found = {}
    for name, attempt in attacks().items():
        try:
            attempt(session)
        except psycopg.Error as error:
            if error.sqlstate not in REFUSED:
                found[name] = str(error)
        else:
            found[name] = "it succeeded"
    return found
