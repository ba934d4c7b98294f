"""ContainerNetwork: the network of a stack's containers."""

from __future__ import annotations

from infra.changes import Change
from infra.errors import TargetError
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values


class ContainerNetwork(Handler):
    """A bridge network of its own, on which containers do not talk to each other."""

    token = "circlepay:index:ContainerNetwork"
    inputs = {
        "engine": Property("string", "URL of the container engine."),
        "name": Property("string", "Name of the network.", replaces=True),
        "labels": Property("object", "Labels of everything that is this stack's."),
    }
    outputs = {"networkId": Property("string", "The engine's id of it.")}
    stable = frozenset({"networkId"})

    def identity(self, inputs: Values) -> str:
        return str(inputs["name"])

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        return [Change(f"network {inputs['name']}", "create", "there is none yet")] if state is None else []

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.targets.containers import networks
        from infra.targets.containers.engine import connected, refuse_unsupported, shortcomings

        name = inputs["name"]
        with connected(inputs["engine"], f"make network {name}", name) as api:
            refuse_unsupported(api, f"make network {name}", inputs["engine"])
            found, made = networks.ensure(api, name, inputs["labels"])
            findings = shortcomings(api)
        return Converged({"networkId": found}, self.plan(inputs, None, operation) if made else [], findings)

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        from infra.targets.containers import networks
        from infra.targets.containers.engine import connected

        try:
            with connected(state["engine"], "look at networks", state["name"]) as api:
                found = networks.find(api, state["name"], state["labels"])
        except TargetError:
            return Observed()
        return None if found is None else Observed({"networkId": str(found["Id"])})

    def delete(self, state: Values, operation: Operation) -> None:
        from infra.targets.containers import networks
        from infra.targets.containers.engine import connected

        with connected(state["engine"], f"remove network {state['name']}", state["name"]) as api:
            networks.remove(api, state["name"], state["labels"])
