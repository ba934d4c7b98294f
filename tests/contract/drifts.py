"""Every kind of drift that one bare `up` must find and mend: how it is made, and how its mending is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.live import LiveStack
from tests.support.placements import wait_until


@dataclass(frozen=True)
class Drift:
    """One manual change. make: does it. mended: whether it is gone again; must be False right after `make`.

    alone: where other changes are about, it cannot be made, or its mending cannot be told.
    """

    name: str
    make: Callable[[LiveStack], object]
    mended: Callable[[LiveStack], bool]
    alone: bool = False


def sql(*statements: str) -> Callable[[LiveStack], None]:
    """A manual change in the application's database."""

    def make(live: LiveStack) -> None:
        with live.as_superuser() as connection:
            for statement in statements:
                connection.execute(statement)

    return make


def holds(query: str) -> Callable[[LiveStack], bool]:
    """Whether the query's only value is true."""

    def mended(live: LiveStack) -> bool:
        with live.as_superuser() as connection:
            row = connection.execute(query).fetchone()
            return bool(row and row[0])

    return mended


def cache_command(*words: str) -> Callable[[LiveStack], None]:
    """A manual command on the Redis server."""

    def make(live: LiveStack) -> None:
        with live.as_cache_client() as client:
            client.execute_command(*words)

    return make


def cache_setting(name: str, value: str) -> Callable[[LiveStack], bool]:
    """Whether CONFIG GET answers the value."""

    def mended(live: LiveStack) -> bool:
        with live.as_cache_client() as client:
            return bool(client.config_get(name)[name] == value)

    return mended


def application_can_log_in(live: LiveStack) -> bool:
    """Whether the env file's role still authenticates."""
    import psycopg

    try:
        with live.as_application():
            return True
    except psycopg.OperationalError:
        return False


def cache_can_log_in(live: LiveStack) -> bool:
    """Whether the env file's Redis password still authenticates."""
    import redis

    try:
        with live.as_cache_client() as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def kill(server: str) -> Callable[[LiveStack], None]:
    """Ends the server without warning."""
    return lambda live: live.server(server).kill()


def edit_env_file(live: LiveStack) -> None:
    """A careless edit."""
    live.env_path.write_text(live.env_path.read_text().replace("DATABASE_URL=", "DATABASE_URL=#"))


def env_file_is_published(live: LiveStack) -> bool:
    """Whether the file is there, owner-only, with its own URL in it."""
    path = live.env_path
    return path.exists() and path.stat().st_mode & 0o777 == 0o600 and "DATABASE_URL=#" not in path.read_text()


def edit_config(server: str, name: str, line: str) -> Callable[[LiveStack], None]:
    """A line added by hand to a configuration file that is ours."""
    return lambda live: live.server(server).edit(f"config/{name}", lambda text: f"{text}{line}\n")


def config_lacks(server: str, name: str, line: str) -> Callable[[LiveStack], bool]:
    """Whether the line is gone from the configuration file."""
    return lambda live: line not in live.server(server).text(f"config/{name}")


def edit_then_load(live: LiveStack) -> None:
    """Everyone is let in without a password."""
    server = live.server("postgres")
    server.edit("config/pg_hba.conf", lambda text: text.replace("scram-sha-256", "trust"))
    server.reload()
    wait_until(lambda: not superuser_needs_its_password(live), seconds=30)


def edit_then_restart(live: LiveStack) -> None:
    """A user without a password, in a Redis that was started with it where something but `up` starts it."""
    server = live.server("redis")
    server.edit("config/redis.conf", lambda text: f"{text}user evil on nopass ~* +@all\n")
    server.restart()


def superuser_needs_its_password(live: LiveStack) -> bool:
    """Whether a wrong one is refused; False as well where there is no answer."""
    import psycopg

    try:
        psycopg.connect(live.outputs["adminDatabaseUrl"], password="wrong", connect_timeout=10).close()
    except psycopg.OperationalError as error:
        return "password authentication failed" in str(error)
    return False


def stranger_is_refused(live: LiveStack) -> bool:
    """Whether the user `evil` cannot log in to Redis, which answers."""
    import redis

    try:
        with live.as_cache_client() as client:
            return "evil" not in client.acl_users()
    except redis.RedisError:
        return False


DRIFTS = (
    Drift(
        "dropped index",
        sql("DROP INDEX public.idx_users_kyc_status"),
        holds("SELECT to_regclass('public.idx_users_kyc_status') IS NOT NULL"),
    ),
    Drift(
        "disabled trigger",
        sql("ALTER TABLE public.users DISABLE TRIGGER update_users_updated_at"),
        holds("SELECT tgenabled = 'O' FROM pg_trigger WHERE tgname = 'update_users_updated_at'"),
    ),
    Drift(
        "dropped trigger",
        sql("DROP TRIGGER update_wallets_updated_at ON public.wallets"),
        holds("SELECT count(*) = 1 FROM pg_trigger WHERE tgname = 'update_wallets_updated_at'"),
    ),
    Drift(
        "changed function body",
        sql(
            "CREATE OR REPLACE FUNCTION public.update_updated_at_column() RETURNS trigger LANGUAGE plpgsql "
            "AS 'BEGIN RETURN NEW; END'"
        ),
        holds("SELECT prosrc LIKE '%CURRENT_TIMESTAMP%' FROM pg_proc WHERE proname = 'update_updated_at_column'"),
    ),
    Drift(
        "changed default",
        sql("ALTER TABLE public.transactions ALTER COLUMN status SET DEFAULT 'done'"),
        holds(
            "SELECT column_default LIKE '''pending''%' FROM information_schema.columns "
            "WHERE table_name = 'transactions' AND column_name = 'status'"
        ),
    ),
    Drift(
        "dropped constraint",
        sql("ALTER TABLE public.wallets DROP CONSTRAINT uq_user_chain"),
        holds("SELECT count(*) = 1 FROM pg_constraint WHERE conname = 'uq_user_chain' AND convalidated"),
    ),
    Drift(
        "revoked grant",
        sql("REVOKE INSERT ON public.transactions FROM circlepay_user"),
        holds("SELECT has_table_privilege('circlepay_user', 'public.transactions', 'INSERT')"),
    ),
    Drift(
        "extra grant",
        sql("GRANT CREATE ON SCHEMA public TO circlepay_user"),
        holds("SELECT NOT has_schema_privilege('circlepay_user', 'public', 'CREATE')"),
    ),
    Drift(
        "extra grant to everybody",
        sql("GRANT SELECT ON public.kyc_documents TO PUBLIC"),
        holds(
            "SELECT NOT EXISTS (SELECT FROM pg_class, aclexplode(relacl) AS a "
            "WHERE relname = 'kyc_documents' AND a.grantee = 0)"
        ),
    ),
    Drift(
        "revoked default privileges",
        sql(
            "ALTER DEFAULT PRIVILEGES FOR ROLE circlepay_owner IN SCHEMA public REVOKE ALL ON TABLES FROM circlepay_user"
        ),
        holds(
            "SELECT count(*) = 1 FROM pg_default_acl WHERE defaclobjtype = 'r' AND defaclacl::text LIKE '%circlepay_user%'"
        ),
    ),
    Drift(
        "changed owner",
        sql("ALTER TABLE public.wallets OWNER TO postgres", "ALTER ROLE circlepay_owner SUPERUSER LOGIN"),
        holds(
            "SELECT tableowner = 'circlepay_owner' AND NOT rolsuper AND NOT rolcanlogin FROM pg_tables "
            "JOIN pg_roles ON rolname = 'circlepay_owner' WHERE tablename = 'wallets'"
        ),
    ),
    Drift(
        "changed role attribute",
        sql("ALTER ROLE circlepay_user CREATEDB"),
        holds("SELECT NOT rolcreatedb FROM pg_roles WHERE rolname = 'circlepay_user'"),
    ),
    Drift(
        "changed role password", sql("ALTER ROLE circlepay_user PASSWORD 'by hand, 0123456789'"), application_can_log_in
    ),
    Drift(
        "changed PostgreSQL parameter",
        sql("ALTER SYSTEM SET synchronous_commit = 'off'", "SELECT pg_reload_conf()", "SELECT pg_sleep(0.2)"),
        holds("SELECT setting = 'on' FROM pg_settings WHERE name = 'synchronous_commit'"),
    ),
    Drift(
        "edited postgresql.conf",
        edit_config("postgres", "postgresql.conf", "work_mem = '1MB'"),
        config_lacks("postgres", "postgresql.conf", "work_mem = '1MB'"),
    ),
    Drift(
        "pg_hba.conf edited and loaded",
        edit_then_load,
        superuser_needs_its_password,
        alone=True,
    ),
    Drift("redis.conf edited, and restarted", edit_then_restart, stranger_is_refused, alone=True),
    Drift(
        "changed Redis setting",
        cache_command("CONFIG", "SET", "maxmemory-policy", "noeviction"),
        cache_setting("maxmemory-policy", "allkeys-lru"),
    ),
    Drift(
        "changed Redis password", cache_command("CONFIG", "SET", "requirepass", "by-hand-0123456789"), cache_can_log_in
    ),
    Drift("edited env file", edit_env_file, env_file_is_published),
    Drift("env file readable by others", lambda live: live.env_path.chmod(0o644), env_file_is_published),
    Drift("deleted env file", lambda live: live.env_path.unlink(), env_file_is_published),
    Drift("killed PostgreSQL", kill("postgres"), application_can_log_in),
    Drift("killed Redis", kill("redis"), cache_can_log_in),
)
