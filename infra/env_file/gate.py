"""The publish gate: a new env file replaces the old one only after everything in it has been verified.

The text itself is read back, as an application would read it, and its own URLs are used to log in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from infra.cache.connection import connect
from infra.credentials.supplied import SUPPLIED_KEYS
from infra.credentials.supplied import problem as supplied_problem
from infra.endpoint import Endpoint, Login
from infra.env_file.encoding import read_back
from infra.errors import PublishError
from infra.postgres.connection import open_session
from infra.redaction import redact, remember
from infra.tunnels import reach

TIMEOUT = 10
"""Seconds for connecting to one server, and for each of its answers."""

APPLICATION_NAME = "circlepay publish gate"

OWN_KEYS = ("SECRET_KEY", "JWT_SECRET_KEY")
SECRET_KEYS = ("DATABASE_URL", "REDIS_URL", *OWN_KEYS, *SUPPLIED_KEYS)

Migration = Mapping[str, Any]
"""`version`, `name` and `sha256` of a migration."""


def check(
    text: str,
    *,
    declared_migrations: Iterable[Migration],
    superuser: Login,
    verification_failed: int,
    via: str = "",
    extra: Mapping[str, str] | None = None,
) -> None:
    """Proves an env file's text. superuser: reads which migrations were applied, in the application's database.

    verification_failed: failed checks of the verification that ran last. via: the machine that sees the servers where the
    URLs say, when this one does not: the application runs there. extra: keys of the stack's own, as declared.

    Raises PublishError that lists everything that is wrong, naming the credential, migration or check, never a value;
    the caller publishes only when this returns.
    """
    values = read_back(text)
    _remember(values, superuser)
    own = extra or {}
    for value in own.values():
        remember(value)
    problems = [
        *(f"{key} does not read back as it was declared" for key, value in own.items() if values.get(key) != value),
        *_own(values),
        *_supplied(values),
        *_proven("DATABASE_URL", partial(_open_database, via=via), values.get("DATABASE_URL", "")),
        *_proven("REDIS_URL", partial(_open_cache, via=via), values.get("REDIS_URL", "")),
        *_migrations(declared_migrations, superuser),
        *([f"verification: {verification_failed} checks failed"] if verification_failed else []),
    ]
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        hint = "the previous env file is unchanged; run `up` again once this is fixed"
        raise PublishError("prove the env file", f"{len(problems)} of its promises", f"do not hold{lines}", hint)


def _remember(values: Mapping[str, str], superuser: Login) -> None:
    """Masks every secret in messages of the servers' libraries."""
    for key in SECRET_KEYS:
        secret = values.get(key, "")
        remember(secret)
        if key.endswith("_URL"):
            remember(unquote(secret.partition("://")[2].rpartition("@")[0].partition(":")[2]))
    remember(superuser.password)


def _own(values: Mapping[str, str]) -> Iterable[str]:
    yield from (f"{key} is missing" for key in OWN_KEYS if not values.get(key))
    if values.get("ENVIRONMENT") == "production" and values.get("DEBUG") != "false":
        yield "DEBUG must be false in production"


def _supplied(values: Mapping[str, str]) -> Iterable[str]:
    production = values.get("ENVIRONMENT") == "production"
    for key in SUPPLIED_KEYS:
        if why := supplied_problem(key, values.get(key, ""), production=production):
            yield f"{key} {why}"


def _proven(key: str, proof: Callable[[str], str], url: str) -> Iterable[str]:
    """Why the URL cannot be used, as its library reports it, with every secret masked. proof: returns that, or nothing."""
    if not url:
        yield f"{key} is missing"
    elif not _is_whole(url):
        # Libraries repeat the part they cannot read, which may be a piece of a password.
        yield f"{key} is not a URL with host, port and percent-encoded password"
    elif why := proof(url):
        yield f"{key} {redact(why)}"


def _is_whole(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.port and parts.password)
    except ValueError:
        return False


def _reached(url: str, via: str) -> Endpoint:
    """Where this process reaches a whole URL's server. Raises TunnelError."""
    parts = urlsplit(url)
    return reach(parts.hostname or "", parts.port or 0, via)


def _open_database(url: str, via: str) -> str:
    import psycopg

    # Only a tunnel's end stands in for what the URL says: the URL itself is what has to be proven.
    instead: dict[str, Any] = {}
    if via:
        endpoint = _reached(url, via)
        instead = {"host": endpoint.host, "port": endpoint.port}
    try:
        with open_session(url, application_name=APPLICATION_NAME, connect_timeout=TIMEOUT, **instead) as connection:
            row = connection.execute("SELECT current_setting('is_superuser') = 'on'").fetchone()
    except psycopg.Error as error:
        return f"does not open the database: {str(error).strip()}"
    return "logs in as a superuser, which an application must not be" if row and row[0] else ""


def _open_cache(url: str, via: str) -> str:
    import redis

    endpoint = _reached(url, via)
    if via:
        parts = urlsplit(url)
        url = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{endpoint.host}:{endpoint.port}"))
    try:
        with connect(url, timeout=TIMEOUT) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return f"does not open the cache: {error}"
    try:
        with connect(Login(endpoint, "", ""), timeout=TIMEOUT) as stranger:
            stranger.ping()
    except redis.AuthenticationError:
        return ""
    except redis.RedisError as error:
        return f"does not open the cache: {error}"
    return "opens the cache, but so does any client without a password"


def _migrations(declared: Iterable[Migration], superuser: Login) -> Iterable[str]:
    """Every declared migration is applied, with the same content, and no other."""
    try:
        applied = _applied(superuser)
    except PublishError as error:
        yield f"migrations: {redact(error.cause)}"
        return
    wanted = {int(migration["version"]): migration for migration in declared}
    for version in sorted(wanted.keys() | applied.keys()):
        name = wanted[version]["name"] if version in wanted else applied[version]["name"]
        if version not in applied:
            yield f"migration {version} {name} is not applied"
        elif version not in wanted:
            yield f"migration {version} {name} is applied but not among the declared ones"
        elif wanted[version]["sha256"] != applied[version]["sha256"]:
            yield f"migration {version} {name} was edited after it was applied"


def _applied(superuser: Login) -> dict[int, Migration]:
    import psycopg
    from psycopg.rows import dict_row

    try:
        with open_session(
            superuser,
            application_name=APPLICATION_NAME,
            connect_timeout=TIMEOUT,
            settings={"statement_timeout": f"{TIMEOUT}s"},
            row_factory=dict_row,
        ) as connection:
            rows = connection.execute("SELECT version, name, sha256 FROM circlepay.migrations").fetchall()
    except psycopg.Error as error:
        raise PublishError("prove the env file", "migrations", f"cannot be read: {str(error).strip()}") from error
    return {int(row["version"]): row for row in rows}
