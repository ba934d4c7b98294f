"""Server parameters: what is declared, and what overrides it.

The declaration is written into postgresql.conf by the target. It can be overridden by ALTER SYSTEM (postgresql.auto.conf
is read last) and by ALTER DATABASE and ALTER ROLE ... SET; a changed file may also not have been reloaded yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from infra.changes import Change, Effect, Finding
from infra.postgres import session_settings

if TYPE_CHECKING:
    from infra.postgres.facts import Catalog, Setting
    from infra.settings.model import PostgresSettings

RESTART_ONLY = frozenset({"max_connections", "shared_buffers"})
"""Declared parameters whose pg_settings.context is `postmaster`."""

_DURABILITY = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
_SECURITY = {"password_encryption": "scram-sha-256"}

NAMES = (
    *_DURABILITY,
    *_SECURITY,
    "max_connections",
    "shared_buffers",
    "log_min_duration_statement",
)
"""Every parameter that `declared` returns."""

_OF_SESSION = frozenset({"database", "user", "database user", "global", "client", "session"})
"""pg_settings.source of a value that only this session has; its origin is reset by a change of its own."""

_PLACED = frozenset({"hba_file", "listen_addresses", "port", "unix_socket_directories"})
"""Settings whose values come from the target; an override waits for the next start that does not say them itself."""

_TRUE, _FALSE = frozenset({"on", "true", "yes", "1"}), frozenset({"off", "false", "no", "0"})
_QUANTITY = re.compile(r"(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_MICROSECONDS = {
    "us": 1,
    "ms": 1000,
    "s": 1000_000,
    "min": 60_000_000,
    "h": 3600_000_000,
    "d": 86400_000_000,
}
"""Units of the server's configuration (PostgreSQL documentation, 19.1.1)."""


def declared(settings: PostgresSettings) -> dict[str, str]:
    """Name -> value, in the syntax of postgresql.conf."""
    return {
        **_DURABILITY,
        **_SECURITY,
        "max_connections": str(settings.max_connections),
        "shared_buffers": f"{settings.shared_buffers}MB",
        "log_min_duration_statement": str(settings.log_min_duration_statement),
    }


def same(setting: Setting, value: str) -> bool:
    """Whether `value`, in the syntax of a configuration file, equals `setting` (in its base unit)."""
    if setting.type == "bool":
        return (setting.value in _TRUE) == (value.lower() in _TRUE) and value.lower() in _TRUE | _FALSE
    if setting.type in {"integer", "real"}:
        observed = _quantity(setting.value, setting.unit)
        return observed is not None and observed == _quantity(value, setting.unit)
    return setting.value.lower() == value.lower() if setting.type == "enum" else setting.value == value


def _quantity(text: str, base: str) -> float | None:
    """A number with an optional unit in the smallest unit of its kind; a bare number is in `base` ("8kB", "ms", "")."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    if float(match[1]) < 0:
        return float(match[1])  # -1 means "off", whatever the unit
    unit = match[2] or base
    factor = _QUANTITY.fullmatch(unit) if unit[:1].isdigit() else None
    times, unit = (float(factor[1]), factor[2]) if factor else (1.0, unit)
    scale = {**_BYTES, **_MICROSECONDS, "": 1}.get(unit)
    return None if scale is None else float(match[1]) * times * scale


def plan(observed: Catalog, wanted: Mapping[str, str], *, server_follows: bool = False) -> list[Change]:
    """Changes that bring declared parameters into force; empty when they are in force. Pure.

    A change without a statement is for the target that runs the server: a restart, or its configuration file.
    server_follows: in a preview, that the server is about to read its file again by a change of its own.
    """
    settings = {setting.name: setting for setting in observed.settings}
    overrides = {override.name: override.value for override in observed.overrides}
    changes = list(_resets_of_roles_and_databases(observed, wanted))
    for name, value in sorted(wanted.items()):
        setting = settings.get(name)
        if setting is None:
            continue
        if name in overrides:
            reason = f"ALTER SYSTEM set it to {overrides[name]}, declared {value}"
            changes.append(_reset_system(name, reason, restart=setting.context == "postmaster"))
        elif (
            not server_follows
            and setting.source not in _OF_SESSION
            and (_waits_for_restart(setting) or not same(setting, value))
        ):
            changes.append(_reload_or_restart(setting, value))
    for name in sorted(overrides.keys() & session_settings.CHANGES_RESULTS - wanted.keys()):
        changes.append(_reset_system(name, f"ALTER SYSTEM set it to {overrides[name]}, and it is not declared"))
    for name in sorted(_PLACED & overrides.keys()):
        reason = f"ALTER SYSTEM set it to {overrides[name]}; where it listens and who enters is settled by its files"
        changes.append(_reset_system(name, reason))
    if any(change.effect is not Effect.LIVE for change in changes):
        changes.append(_reload())
    return changes


def _waits_for_restart(setting: Setting) -> bool:
    """A value from the command line would be the same after a restart, whatever the file says."""
    return setting.pending_restart and setting.source != "command line"


def _reload_or_restart(setting: Setting, value: str) -> Change:
    restart = setting.context == "postmaster"
    only = "only a restart changes it" if restart else "its file has not been reloaded"
    return Change(
        subject=f"parameter {setting.name}",
        action="restart" if restart else "set",
        reason=f"is {f'{setting.value} {setting.unit}'.strip()}, declared {value}; {only}",
        effect=Effect.RESTART if restart else Effect.RELOAD,
    )


def _reset_system(name: str, reason: str, *, restart: bool = False) -> Change:
    from psycopg.sql import SQL, Identifier

    return Change(
        subject=f"parameter {name}",
        action="reset",
        reason=reason,
        effect=Effect.RESTART if restart else Effect.RELOAD,
        statement=SQL("ALTER SYSTEM RESET {}").format(Identifier(*name.split("."))),
        transactional=False,
    )


def _reload() -> Change:
    from psycopg.sql import SQL

    return Change(
        subject="server configuration",
        action="reload",
        reason="parameters were reset or their file changed",
        effect=Effect.RELOAD,
        statement=SQL("SELECT pg_reload_conf()"),
        transactional=False,
    )


def _resets_of_roles_and_databases(observed: Catalog, wanted: Mapping[str, str]) -> Iterable[Change]:
    """ALTER ROLE and ALTER DATABASE ... SET of a declared parameter in this database override every file."""
    entries = [entry for entry in observed.role_settings if entry.database in {"", observed.server.database}]
    return session_settings.resets(entries, frozenset(wanted), lambda name: f"it overrides the declared {wanted[name]}")


def findings(observed: Catalog, wanted: Mapping[str, str]) -> list[Finding]:
    """Undeclared parameters that were set by ALTER SYSTEM, and those that wait for a restart."""
    found = [
        Finding(
            f"parameter {override.name}",
            f"ALTER SYSTEM set it to {override.value}",
            f"ALTER SYSTEM RESET {override.name}, if that is not wanted",
        )
        for override in observed.overrides
        if override.name not in wanted.keys() | session_settings.CHANGES_RESULTS | _PLACED
    ]
    for setting in observed.settings:
        if setting.name not in {*wanted, *_PLACED} and _waits_for_restart(setting):
            problem = "was changed and waits for a restart of the server"
            found.append(
                Finding(f"parameter {setting.name}", problem, "restart it: circlepay restart --server postgres")
            )
    return found
