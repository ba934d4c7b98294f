"""PostgresParameters: the parameters in force on a running server, including overrides by ALTER SYSTEM."""

from __future__ import annotations

from collections.abc import Iterable

from infra.changes import Change, Finding
from infra.provider.handler import CONNECTION_SECRETS, Converged, Handler, Observed, Operation, Property, Values
from infra.provider.sessions import facts_of, forget, login_of
from infra.provider.values import has_unknown


class PostgresParameters(Handler):
    """Parameters in force, compared with the declared ones; overrides in postgresql.auto.conf are reset."""

    token = "circlepay:index:PostgresParameters"
    inputs = {
        "connection": Property("object", "The superuser's login.", secret_members=CONNECTION_SECRETS),
        "parameters": Property("object", "Declared value by name, in the syntax of postgresql.conf."),
        "upstream": Property("array", "Revisions of the resources this depends on."),
    }

    def identity(self, inputs: Values) -> str:
        return "postgres-parameters"

    def modules(self, values: Values) -> Iterable[str]:
        return ("infra.postgres.catalog", "infra.postgres.connection")

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        from infra.postgres import parameters

        if has_unknown([inputs["connection"], inputs["parameters"]]):
            return []
        facts = facts_of(login_of(inputs["connection"])).catalog
        server_follows = has_unknown(inputs["upstream"])
        return [] if facts is None else parameters.plan(facts, inputs["parameters"], server_follows=server_follows)

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.postgres import catalog, execution, parameters
        from infra.postgres.connection import connect

        login = login_of(inputs["connection"])
        with connect(login) as connection:
            facts = catalog.read(connection, parameters.NAMES)
            changes = parameters.plan(facts, inputs["parameters"])
            sent = [change for change in changes if change.statement is not None]
            execution.run(connection, sent, cancelled=operation.cancelled)
        forget(login.endpoint.host, login.endpoint.port)
        findings = [
            Finding(change.subject, change.reason, "circlepay restart --server postgres")
            for change in changes
            if change.action == "restart"
        ]
        return Converged(changes=sent, findings=[*findings, *parameters.findings(facts, inputs["parameters"])])

    def observe(self, state: Values, operation: Operation) -> Observed:
        from infra.postgres import parameters

        facts = facts_of(login_of(state["connection"])).catalog
        if facts is None:
            return Observed()
        changes = parameters.plan(facts, state["parameters"])
        return Observed(
            drift=[change for change in changes if change.statement is not None],
            findings=parameters.findings(facts, state["parameters"]),
        )
