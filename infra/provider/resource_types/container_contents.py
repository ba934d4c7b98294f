"""ContainerContents: a server's files and initialised data on its volumes, before its container starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.changes import Change
from infra.errors import TargetError
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values
from infra.provider.values import has_unknown
from infra.targets.spec import ServerSpec

if TYPE_CHECKING:
    from docker import APIClient

    from infra.targets.containers.contents import Work

LATER = "its volumes are not there yet"


class ContainerContents(Handler):
    """Files and data on the volumes of one server. Deleting it deletes nothing: the volumes are resources of their own."""

    token = "circlepay:index:ContainerContents"
    inputs = {
        "engine": Property("string", "URL of the container engine."),
        "spec": Property("object", "The server as data, see ServerSpec."),
        "site": Property("object", "Where it lives, see infra.targets.containers.site.Site."),
        "secrets": Property("object", "Secrets of the spec by name.", secret=True),
        "upstream": Property("array", "What the volumes are known by; a volume made anew is filled anew."),
    }

    def identity(self, inputs: Values) -> str:
        return str(inputs["spec"]["name"])

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        from infra.targets.containers import contents
        from infra.targets.containers.engine import connected

        name = inputs["spec"]["name"]
        if has_unknown([inputs["site"], inputs["secrets"]]):
            return [Change(f"files of {name}", "write", LATER)]
        with connected(inputs["engine"], f"look at the files of {name}", inputs["site"]["files_volume"]) as api:
            work = _work(api, inputs)
            return contents.plan(contents.read(work), work)

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.provider import prepared_suite
        from infra.targets.containers import contents
        from infra.targets.containers.engine import connected

        if state is None:
            prepared_suite.prepare()  # a created server is always verified in the same run
        name = inputs["spec"]["name"]
        with connected(inputs["engine"], f"prepare {name}", inputs["site"]["container"]) as api:
            changes = contents.prepare(_work(api, inputs), cancelled=operation.cancelled, progress=operation.progress)
        return Converged({}, changes)

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        try:
            return Observed(drift=self.plan(state, state, operation))
        except TargetError:
            return Observed()

    def delete(self, state: Values, operation: Operation) -> None:
        from infra.targets.containers import contents
        from infra.targets.containers.engine import connected

        with connected(
            state["engine"], f"end what prepares {state['spec']['name']}", state["site"]["container"]
        ) as api:
            contents.abandon(_work(api, state))


def _work(api: APIClient, inputs: Values) -> Work:
    from infra.targets.containers.contents import Work
    from infra.targets.containers.site import Site

    return Work(api, ServerSpec.from_json(inputs["spec"]), Site.from_json(inputs["site"]), inputs["secrets"])
