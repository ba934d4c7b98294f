"""One read of facts per server: handlers of the same database share the result until one of them changes something."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.endpoint import Login
from infra.errors import ServerError
from infra.tunnels import reach

if TYPE_CHECKING:
    from infra.postgres.catalog import Catalog


@dataclass(frozen=True)
class DatabaseFacts:
    """The facts of a database.

    catalog: that of the maintenance database where this one does not exist; None when the server did not answer. exists:
    False only when the server says so. problem: why the server could not be read; empty when it answered. locked: the same
    where somebody's lock is why.
    """

    catalog: Catalog | None
    exists: bool
    problem: str = ""
    locked: str = ""


_facts: dict[tuple[str, int, str], DatabaseFacts] = {}
_locks: dict[tuple[str, int, str], threading.Lock] = {}
_guard = threading.Lock()


def login_of(connection: Mapping[str, Any]) -> Login:
    """The login a `connection` property describes: host, port, via, user, password, database.

    Raises TunnelError when the machine of `via` cannot be reached.
    """
    return Login(
        reach(str(connection["host"]), int(connection["port"]), str(connection.get("via", ""))),
        str(connection.get("user", "")),
        str(connection["password"]),
        str(connection.get("database", "")),
    )


def facts_of(login: Login) -> DatabaseFacts:
    """The database's facts, read at most once in this process until `forget`; never raises because a server is down."""
    key = (login.endpoint.host, login.endpoint.port, login.database)
    with _guard:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        if key not in _facts:
            _facts[key] = _read(login)
        return _facts[key]


def facts_to_plan_from(connection: Mapping[str, Any], before: Mapping[str, Any] | None) -> DatabaseFacts:
    """The database's facts from where it will be reached or, while nothing answers there, from where it was.

    A preview sees a server that is to move, or to get another password, as it still is. before: the connection in the state.
    """
    facts = facts_of(login_of(connection))
    if facts.catalog is None and before and dict(before) != dict(connection):
        return facts_of(login_of(before))
    return facts


def forget(host: str, port: int) -> None:
    """Drops the cached facts of this server after a change."""
    for key in [key for key in list(_facts) if key[:2] == (host, port)]:  # a copy: other threads add entries meanwhile
        _facts.pop(key, None)


def _read(login: Login) -> DatabaseFacts:
    from infra.postgres import catalog, parameters
    from infra.postgres.connection import NoAnswer, connect, reconnected

    try:
        with connect(login) as connection:
            return DatabaseFacts(catalog.read(connection, parameters.NAMES), exists=True)
    except NoAnswer as error:
        return DatabaseFacts(None, exists=True, problem=error.cause)
    except catalog.LockedError as error:
        return DatabaseFacts(None, exists=True, problem=error.cause, locked=error.cause)
    except ServerError as error:
        problem = error.cause
    # A refused login may only mean that the database does not exist yet: the maintenance database tells.
    try:
        with connect(reconnected(login, "")) as connection:
            facts = catalog.read(connection, parameters.NAMES)
    except ServerError as error:
        return DatabaseFacts(None, exists=True, problem=error.cause)
    if facts.database(login.database) is None:
        return DatabaseFacts(facts, exists=False)
    return DatabaseFacts(None, exists=True, problem=problem)
