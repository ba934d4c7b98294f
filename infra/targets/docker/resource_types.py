"""Resource types that only this target has: the pinned image, what an image declares, the network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from infra.changes import Change
from infra.errors import TargetError
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values
from infra.targets.docker.container_location import placeholders
from infra.targets.docker.target import LIBRARIES
from infra.targets.location import Location
from infra.targets.spec import ServerSpec

if TYPE_CHECKING:
    from infra.targets.docker.images import ImageFacts


def handlers() -> list[Handler]:
    """Each of them."""
    return [ImagePin(), ContainerImage(), ContainerNetwork(), ContainerContents()]


class OnEngine(Handler):
    """What asks the engine itself."""

    def modules(self, values: Values) -> Iterable[str]:
        return LIBRARIES


class ImagePin(OnEngine):
    """The digest of an image, kept until reference, platform or `asOf` change. Protected; deleting it removes no image."""

    token = "circlepay:index:ImagePin"
    inputs = {
        "engine": Property("string", "URL of the container engine."),
        "server": Property("string", "Name of the server.", replaces=True),
        "reference": Property("string", "The image, by tag or digest."),
        "platform": Property("string", "Platform; empty: the engine's own."),
        "policy": Property("string", "When to ask the registry: missing, always or never."),
        "asOf": Property("string", "Any text; changing it looks the tag up again."),
        "logins": Property("object", "Registry -> username and password.", secret=True),
    }
    outputs = {
        "pinned": Property("string", "The image by its digest, or by its id where it has none."),
        "digest": Property("string", "Digest or id."),
    }

    def identity(self, inputs: Values) -> str:
        return str(inputs["server"])

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        subject = f"image of {inputs['server']}"
        if state is None:
            return [Change(subject, "look up", f"{inputs['reference']} has not been looked up yet")]
        changed = [name for name in ("reference", "platform", "asOf") if inputs[name] != state[name]]
        return [Change(subject, "look up", f"its {', '.join(changed)} changed")] if changed else []

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.targets.docker import images
        from infra.targets.docker.engine import connected

        changes = self.plan(inputs, state, operation)
        if state is not None and not changes:
            return Converged({name: state[name] for name in self.outputs})
        reference = inputs["reference"]
        with connected(inputs["engine"], f"find the image of {inputs['server']}", reference) as api:
            about = {
                "platform": inputs["platform"],
                "login": inputs["logins"].get(images.registry_of(reference)),
                "spec_name": inputs["server"],
            }
            found = images.pin(api, reference, policy=inputs["policy"], **about)
            # pulumi-docker would pull it as well, and tell nothing meanwhile.
            images.pull(api, found.reference, **about, progress=operation.progress, cancelled=operation.cancelled)
        return Converged({"pinned": found.reference, "digest": found.digest}, changes)


class ContainerImage(OnEngine):
    """User, data folder and volume path of an image on the engine, as the server's spec asks for them."""

    token = "circlepay:index:ContainerImage"
    inputs = {
        "engine": Property("string", "URL of the container engine."),
        "spec": Property("object", "The server as data, see ServerSpec."),
        "image": Property("string", "Id of the image."),
        "labels": Property("object", "Labels of everything that is this stack's."),
        "location": Property("object", "Where the server is, see infra.targets.location.Location.", required=False),
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

    def foreseen(self, inputs: Values, state: Values) -> Values:
        return {name: state[name] for name in self.outputs} if inputs["image"] == state["image"] else {}

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.targets import lifecycle
        from infra.targets.docker import images
        from infra.targets.docker.engine import connected
        from infra.targets.docker.machine import ContainerMachine
        from infra.targets.machine import DataKind

        spec, changes = ServerSpec.from_json(inputs["spec"]), self.plan(inputs, state, operation)
        with connected(inputs["engine"], f"read the image of {spec.name}", inputs["image"]) as api:
            found = images.facts(api, inputs["image"], spec, inputs["labels"])
            # Of a stack that is up: its container is about to be replaced, which must not happen for an image that cannot start.
            if state is not None and changes:
                machine = ContainerMachine(api, with_image(inputs, found), spec)
                if machine.data() is DataKind.PRESENT:
                    lifecycle.check_format(machine)
        return Converged({"user": found.user, "data": found.data, "mount": found.mount}, changes)


def with_image(inputs: Values, found: ImageFacts) -> Location:
    """The server's location with this image in it."""
    location = Location.from_json(inputs["location"])
    inside = placeholders(int(inputs["spec"]["documented_port"]), found.data)
    names = {"image": str(inputs["image"]), "uid": found.user, "dataMount": found.mount}
    return location.completed(names, placeholders=inside)


OTHER_OPTIONS = "it was made with other options, by which its containers can talk to each other"


class ContainerNetwork(OnEngine):
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
        from infra.targets.docker import networks
        from infra.targets.docker.engine import connected, refuse_unsupported, shortcomings

        name = inputs["name"]
        with connected(inputs["engine"], f"make network {name}", name) as api:
            refuse_unsupported(api, f"make network {name}", inputs["engine"])
            found, made = networks.ensure(api, name, inputs["labels"])
            findings = shortcomings(api)
        return Converged({"networkId": found}, self.plan(inputs, None, operation) if made else [], findings)

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        from infra.targets.docker import networks, ownership
        from infra.targets.docker.engine import connected, shortcomings

        try:
            with connected(state["engine"], "look at networks", state["name"]) as api:
                found, findings = networks.find(api, state["name"], state["labels"]), shortcomings(api)
        except TargetError:
            return Observed()
        if found is None or not ownership.is_ours(found.get("Labels"), state["labels"]):
            return None  # the next `up` makes ours, or says whose is in its place
        drift = [] if networks.is_as_declared(found) else [Change(f"network {state['name']}", "replace", OTHER_OPTIONS)]
        return Observed({"networkId": str(found["Id"])}, drift, findings)

    def delete(self, state: Values, operation: Operation) -> None:
        from infra.targets.docker import networks
        from infra.targets.docker.engine import connected

        with connected(state["engine"], f"remove network {state['name']}", state["name"]) as api:
            networks.remove(api, state["name"], state["labels"])


class ContainerContents(Handler):
    """A server's files and data, which earlier releases had a resource for. Deleting it does nothing."""

    token = "circlepay:index:ContainerContents"
    inputs = {name: Property("object", "As it was.", required=False) for name in ("spec", "site")}

    def identity(self, inputs: Values) -> str:
        return str(inputs["spec"]["name"])

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        return []

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        return Converged()
