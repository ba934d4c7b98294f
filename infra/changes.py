"""Change: one statement or action with its reason. Finding: something that only a person can decide.

Computing changes is pure: facts + declared -> list, empty when nothing differs. They are run by the module that knows the
server (a PostgreSQL connection, a Redis client, a process).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """A Change without its statement: for previews, `--json` and the stack's outputs. No secrets."""

    subject: str
    action: str
    reason: str
    lock: str
    effect: str
    reversible: bool


@dataclass(frozen=True)
class Change:
    """One statement or action that brings a server closer to its declaration.

    subject: the object that is changed: `index public.idx_users_email`, `role circlepay_user`.
    action: one verb: create, alter, drop, grant, revoke, enable, set, start, restart, write, delete, adopt.
    reason: why, naming the observed and the declared value. Never a secret.
    lock: the strongest lock it takes and on what (`ACCESS EXCLUSIVE on public.users`), or `none`.
    effect: live, reload or restart.
    reversible: whether it can be undone without a backup.
    statement: sent to PostgreSQL; None where the change is not SQL. It may hold verifiers, so it is never printed.
    command: sent to Redis, as separate words; empty where the change is not a Redis command. Never printed either.
    transactional: False where PostgreSQL refuses it inside a transaction (CREATE DATABASE, CREATE INDEX CONCURRENTLY).
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

    def as_dict(self) -> ShownChange:
        """The change without its statement: safe to print, to log and to keep in the state."""
        return ShownChange(
            subject=self.subject,
            action=self.action,
            reason=self.reason,
            lock=self.lock,
            effect=str(self.effect),
            reversible=self.reversible,
        )


class Severity(StrEnum):
    """warning: asks for a decision. note: what is kept as documented, with its price, and asks for nothing now."""

    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something observed that `up` does not change by itself: structural drift, a redundant index, a known limit.

    subject: the object. problem: the observed and the declared state. cost: with units, or empty. remedy: the migration,
    setting or command that would resolve it.
    """

    subject: str
    problem: str
    remedy: str
    cost: str = ""
    severity: Severity = Severity.WARNING

    def as_dict(self) -> dict[str, str]:
        """The finding as plain strings, for outputs and `--json`."""
        return {
            "subject": self.subject,
            "problem": self.problem,
            "cost": self.cost,
            "remedy": self.remedy,
            "severity": str(self.severity),
        }


def asking(findings: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """The findings that ask for a decision; one of an earlier release, which has no severity, does."""
    return [dict(finding) for finding in findings if finding.get("severity") != Severity.NOTE]


def describe(change: ShownChange) -> str:
    """One line for people: «create index public.idx — is missing [SHARE on public.users; live; reversible]»."""
    reversible = "reversible" if change["reversible"] else "not reversible"
    lock = "no lock" if change["lock"] == "none" else change["lock"]
    return f"{change['action']} {change['subject']} — {change['reason']} [{lock}; {change['effect']}; {reversible}]"


def as_dicts(changes: Iterable[Change]) -> list[ShownChange]:
    """Every change without its statement, in the order given."""
    return [change.as_dict() for change in changes]
