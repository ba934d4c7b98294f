"""ContainerImage: what a server's container has to know of its image."""

from __future__ import annotations

from infra.changes import Change
from infra.provider.handler import Converged, Handler, Operation, Property, Values
from infra.targets.spec import ServerSpec


class ContainerImage(Handler):
    """User, data folder and volume path of an image on the engine, as the server's spec asks for them."""

    token = "circlepay:index:ContainerImage"
    inputs = {
        "engine": Property("string", "URL of the container engine."),
        "spec": Property("object", "The server as data, see ServerSpec."),
        "image": Property("string", "Id of the image."),
        "labels": Property("object", "Labels of everything that is this stack's."),
    }
    outputs = {
        "user": Property("string", "`uid:gid` the server runs as."),
        "data": Property("string", "Folder of the data."),
        "mount": Property("string", "Where the data's volume belongs."),
    }

    def identity(self, inputs: Values) -> str:
        return str(inputs["spec"]["name"])

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        if state is not None and inputs["image"] == state["image"]:
            return []
        return [Change(f"image of {inputs['spec']['name']}", "read", "it is another one, or was not read yet")]

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.targets.containers import images
        from infra.targets.containers.engine import connected

        spec = ServerSpec.from_json(inputs["spec"])
        with connected(inputs["engine"], f"read the image of {spec.name}", inputs["image"]) as api:
            found = images.fit(api, inputs["image"], spec, inputs["labels"])
        outputs = {"user": found.user, "data": found.data, "mount": found.mount}
        return Converged(outputs, self.plan(inputs, state, operation))
