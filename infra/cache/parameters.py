"""Redis settings: the declared values, the values in force, and whether a change is live or needs a restart.

Only declared settings are read and compared, all others are the operator's. CONFIG REWRITE is never sent: it would edit
the file that this package writes. Tried on Valkey 9.1 and Redis 7.0: of the declared settings only `logfile` cannot be
changed live; `port` could, but the target manages the server's port, so it changes by a restart too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infra.cache import wire
from infra.cache.memory import bytes_of
from infra.changes import Change, Effect
from infra.errors import CacheError

if TYPE_CHECKING:
    import redis

    from infra.endpoint import Login
    from infra.settings.model import RedisSettings

RESTART_ONLY = frozenset({"port", "logfile"})
"""Settings that change by a restart: the target restarts the server from its file."""

AUTHENTICATION = "requirepass"
"""Read as one of the states below, never as the password."""
REQUIRED, OPEN, SEVERAL = "required", "open", "several passwords"
OTHER_USERS = "other users"
"""Names of users beside the default one, separated by blanks."""
PERMISSIONS, ALL = "permissions", "+@all ~* &*"
"""What the default user may do: commands, keys, channels."""
FOLLOWED = "followed server"
"""Address of the server that it replicates; empty where it follows none."""


def declared(settings: RedisSettings, *, keeps_output: bool = False) -> dict[str, str]:
    """Every declared setting in the form that CONFIG GET returns, without the password.

    Values that only the target knows stay placeholders: `{host}`, `{port}`, `{logs}` (folder of logs).
    keeps_output: the log is the server's output, which its target keeps.
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
        "logfile": settings.logfile or ("" if keeps_output else "{logs}/redis-server.log"),
    }
    return {name: normalised(name, value) for name, value in values.items()}


def normalised(name: str, value: str) -> str:
    """A canonical spelling: memory in bytes, words separated by one space, no quotes."""
    if name == "maxmemory":
        return str(bytes_of(value))
    if name in ("save", "bind"):
        return " ".join(value.replace('"', " ").split())
    return value


def read(login: Login, names: Iterable[str], *, timeout: float = 10.0) -> dict[str, str] | None:
    """The named settings, the state of authentication and the server it follows, in one round trip with the login.

    timeout: seconds for connecting and each read. None when the server refuses the password. Raises CacheError when
    there is no answer, or an unexpected one.
    """
    commands = (
        ("AUTH", login.user or "default", login.password),
        ("CONFIG", "GET", *names),
        ("ACL", "GETUSER", "default"),
        ("ACL", "USERS"),
        ("ROLE",),
    )
    try:
        entered, settings, user, users, role = wire.ask(login.endpoint, *commands, timeout=timeout)
        if isinstance(entered, wire.Refusal) and entered.of_login:
            return None
        found = {name: str(value) for name, value in wire.pairs(settings).items()}
        return {**found, **_access(wire.pairs(user), users), FOLLOWED: _followed(role)}
    except (OSError, ValueError) as error:
        hint = "check the server's log, or run `make status`"
        cause = str(error) or type(error).__name__
        raise CacheError("read the settings of the cache", str(login.endpoint), cause, hint) from None


def plan(observed: Mapping[str, str] | None, declared: Mapping[str, str]) -> list[Change]:
    """Changes that bring the server to its declaration; empty when nothing differs. Pure.

    observed: from `read`; None leads to a restart, which reads the password from the server's file.
    """
    if observed is None:
        reason = (
            "was changed on the server: it refuses the declared password; a restart reads the password from its file"
        )
        return [Change(f"redis {AUTHENTICATION}", "restart", reason, effect=Effect.RESTART)]
    differing = [name for name in sorted(declared, key=_order) if _differs(name, observed, declared)]
    changes = [_change(name, observed.get(name, ""), declared) for name in differing]
    if followed := observed.get(FOLLOWED):
        reason = f"follows {followed}, whose data it takes in place of its own; declared to follow none"
        changes.append(Change("redis replication", "set", reason, command=("REPLICAOF", "NO", "ONE")))
    return [*changes, *_access_changes(observed)]


def _access_changes(observed: Mapping[str, str]) -> Iterator[Change]:
    """Nobody but the default user, with one password, who may do everything."""
    state = observed.get(AUTHENTICATION, REQUIRED)
    if state != REQUIRED:
        accepted = "connections without a password" if state == OPEN else "other passwords than the declared one"
        command = ("CONFIG", "SET", AUTHENTICATION)
        yield Change(f"redis {AUTHENTICATION}", "set", f"the server accepts {accepted}", command=command)
    permissions = observed.get(PERMISSIONS, ALL)
    if permissions != ALL:
        rules = ("ACL", "SETUSER", "default", "clearselectors", "allcommands", "allkeys", "allchannels")
        yield Change("redis user default", "set", f"may do {permissions}, declared {ALL}", command=rules)
    for name in observed.get(OTHER_USERS, "").split():
        yield Change(f"redis user {name}", "delete", "is not declared", command=("ACL", "DELUSER", name))


def run(client: redis.Redis, changes: Sequence[Change]) -> None:
    """Sends the live settings as one CONFIG SET, so that all of them take effect or none, then what is about users.

    Restarts are left to the target. A change of the password sends the client's own password. Raises CacheError naming
    the settings or users.
    """
    import redis

    commands = [change.command for change in changes if change.command]
    live = [command for command in commands if command[0] == "CONFIG"]
    try:
        _set(client, live)
        for command in commands:
            if command not in live:
                client.execute_command(*command)  # type: ignore[no-untyped-call]
    except redis.RedisError as error:
        subjects = ", ".join(change.subject.removeprefix("redis ") for change in changes if change.command)
        raise CacheError("change the settings of the cache", subjects, str(error), "run `up` again") from error


def _set(client: redis.Redis, live: Sequence[tuple[str, ...]]) -> None:
    if not live:
        return
    own_password = str(client.connection_pool.connection_kwargs.get("password") or "")
    values = {name: next(iter(value), own_password) for _, _, name, *value in live}
    words = [word for pair in values.items() for word in pair]
    client.config_set(*words[:2], *words[2:])
    if AUTHENTICATION in values:
        # CONFIG SET does nothing when the setting already has this value, even if the default user lost its password.
        client.acl_setuser("default", enabled=True, reset_passwords=True, passwords=[f"+{own_password}"])


def needs_restart(changes: Iterable[Change]) -> bool:
    """Whether one of the changes takes effect only after a restart."""
    return any(change.effect is Effect.RESTART for change in changes)


def _change(name: str, before: str, declared: Mapping[str, str]) -> Change:
    after = declared[name]
    reason = f"is {before or 'empty'}, declared is {after or 'empty'}"
    if name in RESTART_ONLY:
        return Change(f"redis {name}", "set", reason, effect=Effect.RESTART)
    command = ("CONFIG", "SET", name, after)
    return Change(f"redis {name}", "set", reason, reversible=not _evicts(name, before, declared), command=command)


def _evicts(name: str, before: str, declared: Mapping[str, str]) -> bool:
    """A lower memory limit evicts keys immediately, and no later change restores them."""
    if name != "maxmemory" or declared.get("maxmemory-policy") == "noeviction":
        return False
    limit, old = int(declared[name]), int(before or 0)
    return limit > 0 and (old == 0 or limit < old)


def _differs(name: str, observed: Mapping[str, str], declared: Mapping[str, str]) -> bool:
    return name not in observed or normalised(name, observed[name]) != normalised(name, declared[name])


def _order(name: str) -> tuple[bool, str]:
    """The memory limit last, so that the declared eviction policy applies to it."""
    return name == "maxmemory", name


def _access(user: Mapping[str, Any], users: wire.Reply) -> dict[str, str]:
    """Who may log in, and what the default user may do."""
    if not isinstance(users, list):
        raise ValueError(users.text if isinstance(users, wire.Refusal) else f"unexpected reply {users!r}")
    selectors = [f"and {selector}" for selector in user.get("selectors") or ()]
    return {
        AUTHENTICATION: _authentication(user),
        PERMISSIONS: " ".join([*(str(user[name]) for name in ("commands", "keys", "channels")), *selectors]),
        OTHER_USERS: " ".join(str(name) for name in users if name != "default"),
    }


def _followed(role: wire.Reply) -> str:
    """https://redis.io/docs/latest/commands/role/: a replica names the server before its own state."""
    if not isinstance(role, list):
        # Refused where the user's permissions were changed, which are put back first.
        return ""
    return f"{role[1]}:{role[2]}" if role[0] == "slave" else ""


def _authentication(user: Mapping[str, Any]) -> str:
    """The client logged in with its password, so if the user has a single password, it is that one."""
    if "nopass" in user["flags"]:
        return OPEN
    return REQUIRED if len(user["passwords"]) == 1 else SEVERAL
