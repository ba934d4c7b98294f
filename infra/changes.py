"""Change: one statement or action with its reason, and how a list of them is shown.

Computing changes is pure: facts + declared -> list, empty when nothing differs. Running them is the business of whoever
knows the server (a PostgreSQL connection, a Redis client, a process); this module only says what a change is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from psycopg import sql


class Effect(StrEnum):
    """What the server has to do before a change is in force."""

    LIVE = "live"
    RELOAD = "reload"
    RESTART = "restart"


class ShownChange(TypedDict):
    """A Change as people and machines read it: in previews, in `--json`, in the stack's outputs. No secrets."""

    subject: str
    action: str
    reason: str
    lock: str
    effect: str
    reversible: bool


@dataclass(frozen=True)
class Change:
    """One statement or action that makes a server more like what was declared.

    subject: what is changed, in the field's terms: `index public.idx_users_email`, `role circlepay_user`.
    action: one verb: create, alter, drop, grant, revoke, enable, set, start, restart, write, delete, adopt.
    reason: why, naming the observed and the declared value. Never a secret.
    lock: the strongest lock it takes and on what (`ACCESS EXCLUSIVE on public.users`), or `none`.
    effect: live, reload or restart.
    reversible: whether it can be taken back without a backup.
    statement: what is sent to PostgreSQL, or None where the change is not SQL. It may hold verifiers, so it is never shown.
    command: what is sent to a Redis server, as its words; empty where the change is not a Redis command. Never shown either.
    transactional: False for what PostgreSQL refuses inside a transaction (CREATE DATABASE, CREATE INDEX CONCURRENTLY).
    """

    subject: str
    action: str
    reason: str
    lock: str = "none"
    effect: Effect = Effect.LIVE
    reversible: bool = True
    statement: sql.Composable | None = None
    command: tuple[str, ...] = ()
    transactional: bool = True

    def shown(self) -> ShownChange:
        """The change without its statement: safe to print, to log and to keep in the state."""
        return ShownChange(
            subject=self.subject,
            action=self.action,
            reason=self.reason,
            lock=self.lock,
            effect=str(self.effect),
            reversible=self.reversible,
        )


@dataclass(frozen=True)
class Finding:
    """Something observed that `up` will not change by itself: structural drift, a redundant index, a known limit.

    subject: the object. problem: what was observed against what was declared. cost: what it costs, with units, or empty.
    remedy: the migration, setting or command that would settle it.
    """

    subject: str
    problem: str
    remedy: str
    cost: str = ""

    def shown(self) -> dict[str, str]:
        """The finding as plain strings, for outputs and `--json`."""
        return {"subject": self.subject, "problem": self.problem, "cost": self.cost, "remedy": self.remedy}


def describe(change: ShownChange) -> str:
    """One line a person can read: «create index public.idx — is missing [SHARE on public.users; live; reversible]»."""
    taken_back = "reversible" if change["reversible"] else "cannot be taken back"
    lock = "no lock" if change["lock"] == "none" else change["lock"]
    return f"{change['action']} {change['subject']} — {change['reason']} [{lock}; {change['effect']}; {taken_back}]"


def shown(changes: Iterable[Change]) -> list[ShownChange]:
    """Every change without its statement, in the order given."""
    return [change.shown() for change in changes]
