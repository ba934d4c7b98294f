"""Redis settings: what was declared, what the server has, and what changes live or only by a restart.

Only declared settings are read and compared, everything else is the operator's. CONFIG REWRITE is never sent: it would
edit the file that is ours. Tried on Valkey 9.1 and Redis 7.0: of the declared settings only `logfile` cannot be changed
live; `port` could, but whoever placed the server keeps its port, so it changes by a restart too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from infra.cache import wire
from infra.cache.memory import bytes_of
from infra.changes import Change, Effect
from infra.errors import CacheError

if TYPE_CHECKING:
    import redis

    from infra.endpoint import Login
    from infra.settings import RedisSettings

RESTART_ONLY = frozenset({"port", "logfile"})
"""Settings that change by a restart: the target restarts the server from its file."""

AUTHENTICATION = "requirepass"
"""Read as one of the states below, never as the password."""
REQUIRED, OPEN, SEVERAL = "required", "open", "several passwords"


def declared(settings: RedisSettings, *, in_container: bool = False) -> dict[str, str]:
    """Every declared setting as CONFIG GET writes it, without the password.

    What only the server's place knows stays a placeholder of its spec: `{host}`, `{port}`, `{logs}` (folder of logs).
    in_container: the log is the server's output, which the container engine keeps.
    """
    values = {
        "port": "{port}",
        "bind": "{host}",
        "timeout": str(settings.timeout),
        "tcp-keepalive": str(settings.tcp_keepalive),
        "maxmemory": settings.maxmemory,
        "maxmemory-policy": settings.maxmemory_policy,
        "save": " ".join(f"{point.seconds} {point.changes}" for point in settings.save),
        "loglevel": settings.loglevel,
        "logfile": settings.logfile or ("" if in_container else "{logs}/redis-server.log"),
    }
    return {name: normalised(name, value) for name, value in values.items()}


def normalised(name: str, value: str) -> str:
    """One spelling for values that can be written in several: memory in bytes, words apart by one space, no quotes."""
    if name == "maxmemory":
        return str(bytes_of(value))
    if name in ("save", "bind"):
        return " ".join(value.replace('"', " ").split())
    return value


@contextmanager
def connect(login: Login, *, timeout: float = 10.0) -> Iterator[redis.Redis]:
    """A client of the server, closed afterwards. timeout: seconds for connecting and for each answer."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = redis.Redis(
        host=login.endpoint.host,
        port=login.endpoint.port,
        username=login.user or None,
        password=login.password,
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
        client_name="circlepay",
        # By default a refused password is tried again for seconds: it will not get better.
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    try:
        yield client
    finally:
        client.close()


def read(login: Login, names: Iterable[str], *, timeout: float = 10.0) -> dict[str, str] | None:
    """The named settings and the state of authentication, in one round trip that logs in as well.

    timeout: seconds for connecting and each read. None when the server refuses the password. Raises CacheError when it
    does not answer, or not that.
    """
    commands = (
        ("AUTH", login.user or "default", login.password),
        ("CONFIG", "GET", *names),
        ("ACL", "GETUSER", "default"),
    )
    try:
        entered, settings, user = wire.ask(login.endpoint, *commands, timeout=timeout)
        if isinstance(entered, wire.Refusal) and entered.of_login:
            return None
        found = {name: str(value) for name, value in wire.pairs(settings).items()}
        return {**found, AUTHENTICATION: _authentication(wire.pairs(user))}
    except (OSError, ValueError) as error:
        hint = "look into the server's log, or: make status"
        cause = str(error) or type(error).__name__
        raise CacheError("read the settings of the cache", str(login.endpoint), cause, hint) from None


def plan(observed: Mapping[str, str] | None, declared: Mapping[str, str]) -> list[Change]:
    """What makes the server as declared; empty when nothing differs. Pure.

    observed: from `read`; None asks for a restart, which takes the password from the server's file.
    """
    if observed is None:
        reason = "was changed on the server, which refuses the declared one; a restart reads it from its file again"
        return [Change(f"redis {AUTHENTICATION}", "restart", reason, effect=Effect.RESTART)]
    differing = [name for name in sorted(declared, key=_order) if _differs(name, observed, declared)]
    changes = [_change(name, observed.get(name, ""), declared) for name in differing]
    state = observed.get(AUTHENTICATION, REQUIRED)
    if state != REQUIRED:
        who = (
            "anybody in without a password"
            if state == OPEN
            else "in whoever has another password than the declared one"
        )
        command = ("CONFIG", "SET", AUTHENTICATION)
        changes.append(Change(f"redis {AUTHENTICATION}", "set", f"the server lets {who}", command=command))
    return changes


def run(client: redis.Redis, changes: Sequence[Change]) -> None:
    """Sends the live changes as one CONFIG SET, so that either all or none are in force; restarts are the target's.

    A change of the password sends the client's own. Raises CacheError naming the settings.
    """
    import redis

    live = [change.command for change in changes if change.command]
    if not live:
        return
    own_password = str(client.connection_pool.connection_kwargs.get("password") or "")
    values = {name: next(iter(value), own_password) for _, _, name, *value in live}
    words = [word for pair in values.items() for word in pair]
    try:
        client.config_set(*words[:2], *words[2:])
        if AUTHENTICATION in values:
            # CONFIG SET does nothing where the setting has this value, even if the default user lost its password.
            client.acl_setuser("default", enabled=True, reset_passwords=True, passwords=[f"+{own_password}"])
    except redis.RedisError as error:
        raise CacheError(
            "change the settings of the cache", ", ".join(values), str(error), "nothing was changed"
        ) from error


def needs_restart(changes: Iterable[Change]) -> bool:
    """Whether one of the changes is in force only after a restart."""
    return any(change.effect is Effect.RESTART for change in changes)


def _change(name: str, before: str, declared: Mapping[str, str]) -> Change:
    after = declared[name]
    reason = f"is {before or 'empty'}, declared is {after or 'empty'}"
    if name in RESTART_ONLY:
        return Change(f"redis {name}", "set", reason, effect=Effect.RESTART)
    command = ("CONFIG", "SET", name, after)
    return Change(f"redis {name}", "set", reason, reversible=not _evicts(name, before, declared), command=command)


def _evicts(name: str, before: str, declared: Mapping[str, str]) -> bool:
    """A lower memory limit throws keys away at once, and no later change brings them back."""
    if name != "maxmemory" or declared.get("maxmemory-policy") == "noeviction":
        return False
    limit, old = int(declared[name]), int(before or 0)
    return limit > 0 and (old == 0 or limit < old)


def _differs(name: str, observed: Mapping[str, str], declared: Mapping[str, str]) -> bool:
    return name not in observed or normalised(name, observed[name]) != normalised(name, declared[name])


def _order(name: str) -> tuple[bool, str]:
    """The memory limit last, so that the policy it acts by is in force."""
    return name == "maxmemory", name


def _authentication(user: Mapping[str, Any]) -> str:
    """The client got in with its password, so a single one is that one."""
    if "nopass" in user["flags"]:
        return OPEN
    return REQUIRED if len(user["passwords"]) == 1 else SEVERAL
