"""ContainerServer: the server in its container, from started to answering with its credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.changes import Change
from infra.errors import TargetError
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values
from infra.provider.sessions import forget
from infra.provider.values import has_unknown
from infra.targets.spec import ServerSpec

if TYPE_CHECKING:
    from docker import APIClient

    from infra.targets.containers.running import Work


class ContainerServer(Handler):
    """A server that runs in its container, within its limits. Deleting it stops the server in its own orderly way."""

    token = "circlepay:index:ContainerServer"
    inputs = {
        "engine": Property("string", "URL of the container engine."),
        "spec": Property("object", "The server as data, see ServerSpec."),
        "site": Property("object", "Where it lives, see infra.targets.containers.site.Site."),
        "containerId": Property("string", "The engine's id of the container."),
        "network": Property("string", "Name of its network."),
        "host": Property("string", "Address it is reached at from the engine's machine."),
        "port": Property("integer", "Port it is published on."),
        "limits": Property("object", "memory (bytes), nanoCpus and pids; 0: no limit."),
        "secrets": Property("object", "Secrets of the spec by name.", secret=True),
        "upstream": Property("array", "Revision of its files and data."),
    }
    outputs = {
        "running": Property("boolean", "Whether it answered when the state was last read."),
        "version": Property("string", "Version it answered."),
    }

    def identity(self, inputs: Values) -> str:
        return str(inputs["spec"]["name"])

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        from infra.targets.containers import running
        from infra.targets.containers.engine import connected

        name = inputs["spec"]["name"]
        if has_unknown([inputs["site"], inputs["containerId"], inputs["port"], inputs["secrets"]]):
            return [Change(f"server {name}", "start", "its container is made anew, or is not there yet")]
        with connected(inputs["engine"], f"look at {name}", inputs["site"]["container"]) as api:
            work = _work(api, inputs)
            return running.plan(running.read(work), work)

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.targets.containers import running
        from infra.targets.containers.engine import connected

        host, port = inputs["host"], int(inputs["port"])
        with connected(inputs["engine"], f"start {inputs['spec']['name']}", f"{host}:{port}") as api:
            work = _work(api, inputs)
            outcome = running.apply(work, cancelled=operation.cancelled, progress=operation.progress)
            forget(work.endpoint.host, work.endpoint.port)
        return Converged({"running": bool(outcome.version), "version": outcome.version}, outcome.changes)

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        from infra.targets.containers import running
        from infra.targets.containers.engine import connected

        try:
            with connected(state["engine"], f"look at {state['spec']['name']}", state["site"]["container"]) as api:
                work = _work(api, state)
                facts = running.read(work)
        except TargetError:
            return Observed({"running": False})
        version = facts.version or state["version"]
        return Observed({"running": bool(facts.version), "version": version}, running.plan(facts, work))

    def delete(self, state: Values, operation: Operation) -> None:
        from infra.targets.containers import running
        from infra.targets.containers.engine import connected

        spec, container = ServerSpec.from_json(state["spec"]), state["site"]["container"]
        with connected(state["engine"], f"stop {spec.name}", container) as api:
            running.stop(api, spec, container, progress=operation.progress)


def _work(api: APIClient, inputs: Values) -> Work:
    from infra.targets.containers.running import Limits, Work
    from infra.targets.containers.site import Site
    from infra.tunnels import is_remote, reach

    return Work(
        api,
        ServerSpec.from_json(inputs["spec"]),
        Site.from_json(inputs["site"]),
        reach(inputs["host"], int(inputs["port"]), inputs["engine"] if is_remote(inputs["engine"]) else ""),
        inputs["network"],
        Limits.from_json(inputs["limits"]),
        inputs["secrets"],
    )
