"""ServerLocation: where a server is and what is its own there. Deleting it gives that back, data included."""

from __future__ import annotations

from collections.abc import Iterable

from infra.changes import Change
from infra.errors import TargetError
from infra.paths import PROJECT_ROOT
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values
from infra.targets import clones
from infra.targets import target as targets
from infra.targets.location import Location, claimant
from infra.targets.ports import PortRequest
from infra.targets.target import Claim
from infra.tunnels import is_remote


class ServerLocation(Handler):
    """Names, port and whatever else a server's target keeps for it. Protected: its delete deletes the data it holds."""

    token = "circlepay:index:ServerLocation"
    inputs = {
        "target": Property("string", "Where servers run: the name of a target.", replaces=True),
        "server": Property("string", "Name of the server.", replaces=True),
        "cloneId": Property("string", "Tells clones apart.", replaces=True),
        "stack": Property("string", "Name of the stack.", replaces=True),
        "projectRoot": Property("string", "Root of the clone; recorded in the mark."),
        "host": Property("string", "Address the server is reached at."),
        "requestedPort": Property(
            "integer", "Port asked for; absent: the documented or the next free one.", required=False
        ),
        "documentedPort": Property("integer", "Port to try first when none is asked for."),
        "secretsId": Property("string", "Set of secrets the data was made with.", replaces=True),
        "options": Property("object", "The target's own settings that say where the server is."),
    }
    outputs = {
        "location": Property("object", "See infra.targets.location.Location."),
        "port": Property("integer", "Port the server keeps."),
    }

    def identity(self, inputs: Values) -> str:
        return claimant(inputs["cloneId"], inputs["stack"], inputs["server"])

    def modules(self, values: Values) -> Iterable[str]:
        return targets.load(values["target"]).libraries

    def unchangeable(self, before: Values, inputs: Values) -> dict[str, str]:
        refused = {}
        if before["cloneId"] != inputs["cloneId"]:
            refused["cloneId"] = _refusal(
                "cloneId",
                before["cloneId"],
                inputs["cloneId"],
                _another_clone(before),
            )
        for name, remedy in targets.load(inputs["target"]).fixed.items():
            old, new = before["options"].get(name), inputs["options"].get(name)
            if old is not None and old != new:
                refused["options"] = _refusal(name, old, new, remedy)
        return refused

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        subject = f"location of {inputs['server']}"
        if state is None:
            return [Change(subject, "create", "the server has no location in this stack's state yet")]
        requested = inputs.get("requestedPort")
        if requested and requested != state["port"]:
            return [Change(subject, "set", f"port {requested} is asked for, it has {state['port']}")]
        return []

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        kept = Location.from_json(state["location"]) if state else None
        location = targets.load(inputs["target"]).claim(_claim(inputs), kept)
        return Converged(_outputs(location), self.plan(inputs, state, operation))

    def foreseen(self, inputs: Values, state: Values) -> Values:
        kept = Location.from_json(state["location"])
        return _outputs(targets.load(inputs["target"]).foreseen(_claim(inputs), kept))

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        location = Location.from_json(state["location"])
        requested = bool(state.get("requestedPort"))
        is_there, reason = targets.load(location.target).find(location, port_requested=requested)
        if not is_there:
            return None
        return Observed(drift=[Change(f"location of {location.server}", "set", reason)] if reason else [])

    def delete(self, state: Values, operation: Operation) -> None:
        location = Location.from_json(state["location"])
        clones.refuse_another(f"delete {location.server}", location.clone, location.project_root, PROJECT_ROOT)
        target = targets.load(location.target)
        operation.warn(f"deleting {target.describe(location)[1]}")
        target.release(location)

    def upgraded(self, values: Values) -> Values:
        return targets.upgraded_location(values)


def _another_clone(before: Values) -> str:
    """Whether this clone is a copy or was moved, and what to do."""
    try:
        clones.refuse_another("", before["cloneId"], before["projectRoot"], PROJECT_ROOT)
    except TargetError as error:
        return f"{error.cause}: {error.hint}"
    return "move the clone back to where it was"


def _claim(inputs: Values) -> Claim:
    options = inputs["options"]
    request = PortRequest(
        inputs["server"],
        inputs["host"],
        inputs.get("requestedPort"),
        int(inputs["documentedPort"]),
        claimant(inputs["cloneId"], inputs["stack"], inputs["server"]),
        local=not is_remote(str(options.get("engine", ""))),
    )
    return Claim(inputs["cloneId"], inputs["stack"], inputs["projectRoot"], request, inputs["secretsId"], options)


def _outputs(location: Location) -> dict[str, object]:
    return {"location": location.to_json(), "port": location.port}


def _refusal(name: str, old: object, new: object, remedy: str) -> str:
    return f"{name} cannot change from {old!r} to {new!r}: {remedy}"
