"""What Database, Schema and Access have in common: each is one section of the objects of a PostgreSQL database."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from infra.changes import Change
from infra.errors import CirclePayError
from infra.provider.handler import Converged, Handler, Observed, Operation, Values
from infra.provider.sessions import DatabaseFacts, facts_of, facts_to_plan_from, forget, login_of
from infra.provider.values import has_unknown

if TYPE_CHECKING:
    from infra.postgres.objects import DatabaseObjects


class DatabaseSection(Handler):
    """Planned from facts that all sections share, applied under the database's lock. Deleting it changes nothing."""

    section: ClassVar[str]

    @abstractmethod
    def subject(self, inputs: Values) -> str:
        """What the section is about, as the subject of a change whose details are not known yet."""

    @abstractmethod
    def declaration(self, inputs: Values) -> dict[str, Any]:
        """The fields of DatabaseObjects that this section declares."""

    def modules(self, values: Values) -> Iterable[str]:
        return ("infra.postgres.objects",)

    def objects(self, inputs: Values) -> DatabaseObjects:
        """The declaration of this section; fields of other sections keep their defaults and are not used."""
        from infra.postgres.database import DatabaseDeclaration
        from infra.postgres.objects import DatabaseObjects
        from infra.postgres.privileges import PrivilegesDeclaration
        from infra.postgres.roles import RoleDeclaration, owner

        defaults: dict[str, Any] = {
            "database": DatabaseDeclaration(name=inputs["connection"]["database"]),
            "owner": owner("circlepay_owner"),
            "role": RoleDeclaration(),
            "privileges": PrivilegesDeclaration(),
            "migrations": (),
            "cache": Path(),
        }
        return DatabaseObjects(**{**defaults, **self.declaration(inputs)})

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        from infra.postgres import objects

        if has_unknown(inputs["connection"]):
            return self.not_yet(inputs, state, "the server is not running yet")
        facts = facts_to_plan_from(inputs["connection"], state["connection"] if state else None)
        if facts.catalog is None:
            # What the state says of it may still be true; it is compared once the server runs.
            return self.not_yet(inputs, state, "the server does not answer yet") if state is None else []
        outcome = objects.plan(
            facts.catalog, self.objects(inputs), exists=facts.exists, sections={objects.Section(self.section)}
        )
        return list(outcome.changes)

    def not_yet(self, inputs: Values, state: Values | None, reason: str) -> list[Change]:
        """The plan while the server cannot be asked."""
        return [Change(self.subject(inputs), "create", reason)]

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.postgres import objects

        login = login_of(inputs["connection"])
        outcome = objects.apply_all(
            login,
            self.objects(inputs),
            cancelled=operation.cancelled,
            progress=operation.progress,
            sections={objects.Section(self.section)},
        )
        forget(login.endpoint.host, login.endpoint.port)
        return Converged(changes=list(outcome.changes), findings=list(outcome.findings))

    def unread(self, facts: DatabaseFacts) -> Observed:
        """What is observed where the database could not be read: nothing new."""
        return Observed(findings=None)

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        from infra.postgres import objects

        facts = facts_of(login_of(state["connection"]))
        if facts.catalog is None:
            return self.unread(facts)
        if not facts.exists:
            return None
        try:
            outcome = objects.plan(facts.catalog, self.objects(state), sections={objects.Section(self.section)})
        except CirclePayError as error:
            # Raising here would stop the `up` that should resolve it; as drift, the error is raised again on applying it.
            operation.warn(error.message)
            return Observed(drift=[Change(self.subject(state), "resolve", error.cause)])
        return Observed(drift=list(outcome.changes), findings=list(outcome.findings))
