"""Settings that the application's sessions begin with: ALTER ROLE ... SET and ALTER DATABASE ... SET.

None is declared. One that makes the same statement see other objects or rows, or skip a rule, is reset: nothing is lost
by it, since the change names the value. Any other only tunes sessions, and is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from infra.changes import Change, Finding
from infra.postgres.facts import Catalog, RoleSettings

if TYPE_CHECKING:
    from psycopg.sql import Composable

CHANGES_RESULTS = frozenset(
    {
        "allow_system_table_mods",
        "array_nulls",
        "backslash_quote",
        "default_transaction_read_only",
        "ignore_checksum_failure",
        "ignore_system_indexes",
        "lo_compat_privileges",
        "local_preload_libraries",
        "plpgsql.variable_conflict",
        "role",
        "row_security",
        "search_path",
        "session_preload_libraries",
        "session_replication_role",
        "standard_conforming_strings",
        "transform_null_equals",
        "zero_damaged_pages",
    }
)
"""Settings with which the same statement finds other tables or rows, skips triggers, foreign keys or policies, runs as
another role or with foreign code, or is refused."""


def plan(catalog: Catalog, role: str) -> list[Change]:
    """Resets what changes results, of the application's role, the superuser, every role, and the database. Pure."""
    return list(resets(_of_sessions(catalog, role), CHANGES_RESULTS, lambda _: "none is declared"))


def findings(catalog: Catalog, role: str, managed: frozenset[str]) -> list[Finding]:
    """The other settings of the same. managed: names that the plan of the server's parameters resets. Pure."""
    found = []
    for entry in _of_sessions(catalog, role):
        shown = [item for item in entry.settings if _name(item) not in CHANGES_RESULTS | managed]
        if shown:
            what = _name(shown[0]) if len(entry.settings) == 1 else "ALL"
            found.append(
                Finding(
                    subject(entry),
                    f"sessions begin with settings that are not declared: {', '.join(map(_shown, shown))}",
                    f"ALTER {_words(entry)} RESET {what}, if that is not wanted",
                )
            )
    return found


def resets(entries: Iterable[RoleSettings], names: frozenset[str], reason: Callable[[str], str]) -> Iterator[Change]:
    """A change for each setting of `entries` that is among `names`. reason: why it is reset, by its name."""
    from psycopg.sql import SQL, Identifier

    for entry in entries:
        for item in sorted(item for item in entry.settings if _name(item) in names):
            yield Change(
                subject=f"parameter {_name(item)} of {subject(entry)}",
                action="reset",
                reason=f"{subject(entry)} has its own value {_shown(item)}; {reason(_name(item))}",
                statement=SQL("ALTER {} RESET {}").format(_target(entry), Identifier(*_name(item).split("."))),
            )


def _of_sessions(catalog: Catalog, role: str) -> Iterator[RoleSettings]:
    for entry in catalog.role_settings:
        if entry.role in {"", role, catalog.server.user} and entry.database in {"", catalog.server.database}:
            yield entry


def _name(item: str) -> str:
    return item.partition("=")[0]


def _shown(item: str) -> str:
    """Without the value where an extension or the application defines the setting: it may be a secret."""
    name, _, value = item.partition("=")
    return name if "." in name else f"{name} = {value or chr(39) * 2}"


def subject(entry: RoleSettings) -> str:
    """Whose settings these are, in words."""
    if not entry.role:
        return f"database {entry.database}" if entry.database else "every role"
    return f"role {entry.role}" + (f" in database {entry.database}" if entry.database else "")


def _words(entry: RoleSettings) -> str:
    if not entry.role:
        return f"DATABASE {entry.database}" if entry.database else "ROLE ALL"
    return f"ROLE {entry.role}" + (f" IN DATABASE {entry.database}" if entry.database else "")


def _target(entry: RoleSettings) -> Composable:
    from psycopg.sql import SQL, Identifier

    if not entry.role:
        return SQL("DATABASE {}").format(Identifier(entry.database)) if entry.database else SQL("ROLE ALL")
    target: Composable = SQL("ROLE {}").format(Identifier(entry.role))
    return SQL("{} IN DATABASE {}").format(target, Identifier(entry.database)) if entry.database else target
