"""ContainerPlace: what a server's things are called on an engine, and the port it keeps."""

from __future__ import annotations

from infra.changes import Change
from infra.provider.handler import Converged, Handler, Operation, Property, Values


class ContainerPlace(Handler):
    """Names and port of one server on an engine. Protected, like the data behind them; deleting it gives the port back."""

    token = "circlepay:index:ContainerPlace"
    inputs = {
        "engine": Property("string", "URL of the container engine."),
        "server": Property("string", "Name of the server.", replaces=True),
        "suffix": Property("string", "Added to the names.", replaces=True),
        "cloneId": Property("string", "Tells clones apart.", replaces=True),
        "stack": Property("string", "Name of the stack.", replaces=True),
        "projectRoot": Property("string", "Root of the clone; noted in labels for whoever finds them."),
        "host": Property("string", "Address the server is published on."),
        "requestedPort": Property(
            "integer", "Port asked for; absent: the documented or the next free one.", required=False
        ),
        "documentedPort": Property("integer", "Port to try first when none is asked for."),
        "secretsId": Property("string", "Set of secrets the data was made with.", replaces=True),
    }
    outputs = {
        "container": Property("string", "Name of the container."),
        "dataVolume": Property("string", "Name of the volume with the data."),
        "filesVolume": Property("string", "Name of the volume with configuration and secrets."),
        "port": Property("integer", "Port it is published on."),
        "labels": Property("object", "Labels of everything that is this stack's."),
    }
    stable = frozenset({"container", "dataVolume", "filesVolume", "labels"})
    fixed = {
        "suffix": "the data has its name from it; set circlepay:docker.suffix back, or begin anew with "
        "`make down DATA=delete`",
        "cloneId": "the data belongs to the clone at the place it was made in; move the clone back there",
    }

    def identity(self, inputs: Values) -> str:
        return f"{inputs['cloneId']}/{inputs['stack']}/{inputs['server']}{inputs['suffix']}"

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        subject = f"place of {inputs['server']}"
        if state is None:
            return [Change(subject, "create", "the server has no place in this stack's state yet")]
        requested = inputs.get("requestedPort")
        if requested and requested != state["port"]:
            return [Change(subject, "set", f"port {requested} is asked for, it has {state['port']}")]
        return []

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.targets.containers import ownership, reservations
        from infra.targets.containers.engine import connected, refuse_unsupported
        from infra.tunnels import is_remote

        own = ownership.names(inputs["server"], inputs["suffix"])
        labels = ownership.labels(inputs["cloneId"], inputs["stack"], inputs["projectRoot"])
        wish = ownership.Wish(
            inputs["server"],
            inputs["host"],
            inputs.get("requestedPort"),
            int(inputs["documentedPort"]),
            local=not is_remote(inputs["engine"]),
        )
        what = f"place {wish.server}"
        with connected(inputs["engine"], what, own.container) as api:
            refuse_unsupported(api, what, inputs["engine"])
            ownership.claim(api, what, own, labels, inputs["secretsId"])
            port = reservations.reserve(api, own, wish, labels, int(state["port"]) if state else None)
        outputs = {
            "container": own.container,
            "dataVolume": own.data_volume,
            "filesVolume": own.files_volume,
            "port": port,
            "labels": labels,
        }
        return Converged(outputs, self.plan(inputs, state, operation))

    def delete(self, state: Values, operation: Operation) -> None:
        from infra.targets.containers import reservations
        from infra.targets.containers.engine import connected

        with connected(state["engine"], f"remove the place of {state['server']}", state["container"]) as api:
            reservations.release(api, state["server"], state["labels"])
