"""ServerFolder: where a server's data lives, and the port it keeps. Deleting this resource deletes the data."""

from __future__ import annotations

from pathlib import Path

from infra.changes import Change
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values


class ServerFolder(Handler):
    """The folder of one server process: data, configuration, logs and port. Protected; its delete deletes the data."""

    token = "circlepay:index:ServerFolder"
    inputs = {
        "server": Property("string", "Name of the server: its folder's name.", replaces=True),
        "dataRoot": Property("string", "Folder that holds the folders of all stacks.", replaces=True),
        "cloneId": Property("string", "Tells clones on one machine apart.", replaces=True),
        "stack": Property("string", "Name of the stack.", replaces=True),
        "projectRoot": Property("string", "Root of the clone; noted in the mark for whoever finds the folder."),
        "host": Property("string", "Address the server will listen on."),
        "requestedPort": Property(
            "integer", "Port asked for; absent: the documented or the next free one.", required=False
        ),
        "documentedPort": Property("integer", "Port to try first when none is asked for."),
        "secretsId": Property("string", "Set of secrets the data was made with.", replaces=True),
    }
    outputs = {
        "folder": Property("string", "Path of the server's folder."),
        "port": Property("integer", "Port the server keeps."),
        "systemUser": Property("string", "User that runs the server; empty: the user who runs Pulumi."),
    }
    stable = frozenset({"folder", "systemUser"})

    def identity(self, inputs: Values) -> str:
        return f"{inputs['cloneId']}/{inputs['stack']}/{inputs['server']}"

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        subject = f"folder of {inputs['server']}"
        if state is None:
            return [Change(subject, "create", "the server has no folder in this stack's state yet")]
        requested = inputs.get("requestedPort")
        if requested and requested != state["port"]:
            return [Change(subject, "set", f"port {requested} is asked for, it has {state['port']}")]
        return []

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.targets.placement import place

        placement = place(
            data_root=Path(inputs["dataRoot"]),
            clone_id=inputs["cloneId"],
            stack=inputs["stack"],
            project_root=inputs["projectRoot"],
            spec_name=inputs["server"],
            host=inputs["host"],
            requested_port=inputs.get("requestedPort"),
            documented_port=inputs["documentedPort"],
            secrets_id=inputs["secretsId"],
        )
        outputs = {
            "folder": str(placement.folder),
            "port": placement.port,
            "systemUser": placement.system_user or "",
        }
        return Converged(outputs, self.plan(inputs, state, operation))

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        from infra.targets.placement import load, wants_another_port

        placement = load(Path(state["folder"]))
        if placement is None:
            return None
        if not state.get("requestedPort") and wants_another_port(placement):
            reason = f"port {placement.port} was taken by somebody else before the server ever ran"
            return Observed(drift=[Change(f"folder of {state['server']}", "set", reason)])
        return Observed()

    def delete(self, state: Values, operation: Operation) -> None:
        from infra.targets.placement import remove

        operation.warn(f"deleting the data in {state['folder']}")
        remove(Path(state["folder"]))
