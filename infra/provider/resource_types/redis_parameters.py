"""RedisParameters: the settings of a running Redis server, changed live where Redis supports it."""

from __future__ import annotations

from infra.changes import Change
from infra.errors import CirclePayError
from infra.provider.handler import CONNECTION_SECRETS, Converged, Handler, Observed, Operation, Property, Values
from infra.provider.sessions import login_of
from infra.provider.values import has_unknown


class RedisParameters(Handler):
    """Settings in force on a Redis server, set to the declared ones; Redis does not rewrite its configuration file."""

    token = "circlepay:index:RedisParameters"
    inputs = {
        "connection": Property("object", "host, port, password.", secret_members=CONNECTION_SECRETS),
        "parameters": Property("object", "Declared value by name, in the form that CONFIG GET returns."),
        "upstream": Property("array", "Revisions of the resources this depends on."),
    }

    def identity(self, inputs: Values) -> str:
        return "redis-parameters"

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        from infra.cache import parameters

        if has_unknown([inputs["connection"], inputs["parameters"]]):
            return []
        try:
            observed = parameters.read(login_of(inputs["connection"]), inputs["parameters"])
        except CirclePayError:
            return []
        return parameters.plan(observed, inputs["parameters"])

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.cache import parameters
        from infra.cache.connection import connect

        login = login_of(inputs["connection"])
        changes = parameters.plan(parameters.read(login, inputs["parameters"]), inputs["parameters"])
        if changes:
            with connect(login) as client:
                parameters.run(client, changes)
        return Converged(changes=changes)

    def observe(self, state: Values, operation: Operation) -> Observed:
        return Observed(drift=self.plan(state, state, operation))
