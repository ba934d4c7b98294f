"""ImagePin: the digest that an image's tag stood for when it was looked up."""

from __future__ import annotations

from infra.changes import Change
from infra.provider.handler import Converged, Handler, Operation, Property, Values


class ImagePin(Handler):
    """The digest of an image, kept until reference, platform or `asOf` change. Protected; deleting it deletes nothing."""

    token = "circlepay:index:ImagePin"
    inputs = {
        "engine": Property("string", "URL of the container engine."),
        "server": Property("string", "Name of the server.", replaces=True),
        "reference": Property("string", "The image, by tag or digest."),
        "platform": Property("string", "Platform; empty: the engine's own."),
        "policy": Property("string", "Whom to ask: missing, always or never."),
        "asOf": Property("string", "Any text; another one looks the tag up again."),
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
        from infra.targets.containers import images
        from infra.targets.containers.engine import connected

        changes = self.plan(inputs, state, operation)
        if state is not None and not changes:
            return Converged({name: state[name] for name in self.outputs})
        reference = inputs["reference"]
        with connected(inputs["engine"], f"find the image of {inputs['server']}", reference) as api:
            found = images.pin(
                api,
                reference,
                platform=inputs["platform"],
                policy=inputs["policy"],
                login=inputs["logins"].get(images.registry_of(reference)),
                spec_name=inputs["server"],
            )
        return Converged({"pinned": found.reference, "digest": found.digest}, changes)
