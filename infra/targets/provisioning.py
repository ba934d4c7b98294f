"""A ServerSpec as Pulumi resources: what every target provides, and the two resources that all have. No product is named here.

location (protected) -> what only the target has -> server
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pulumi

from infra.declarations import resources
from infra.targets import target as targets
from infra.targets.clones import clone_id
from infra.targets.location import Location
from infra.targets.spec import Packaging, ServerSpec


@dataclass(frozen=True)
class Request:
    """The stack that servers are made for. secrets: the stack's generated ones, which data is bound to."""

    target: str
    stack: str
    project_root: Path
    secrets: resources.GeneratedSecrets


@dataclass(frozen=True)
class Provisioned:
    """A server that the target runs, as far as what comes after it needs to know.

    location: infra.targets.location.Location as JSON types. programs: folder of its programs, empty where they are part of
    an image. resources: all of the package's own.
    """

    location: pulumi.Output[dict[str, Any]]
    revision: pulumi.Output[str]
    version: pulumi.Output[str]
    running: pulumi.Output[bool]
    programs: pulumi.Output[str]
    resources: tuple[resources.Resource, ...]

    @property
    def host(self) -> pulumi.Output[str]:
        """Where its own machine reaches it."""
        return self.location.apply(lambda found: str(found["host"]))

    @property
    def port(self) -> pulumi.Output[int]:
        """Where its own machine reaches it."""
        return self.location.apply(lambda found: int(found["port"]))

    @property
    def via(self) -> pulumi.Output[str]:
        """How its machine is reached, empty for this one."""
        return self.location.apply(lambda found: str(found["via"]))

    @property
    def placeholders(self) -> pulumi.Output[dict[str, str]]:
        """What the placeholders of its spec stand for."""
        return self.location.apply(lambda found: dict(found["placeholders"]))


class Provisioner(Protocol):
    """Makes servers on one target."""

    def provision(
        self, spec: ServerSpec, *, host: str, port: int | None, secrets: Mapping[str, pulumi.Input[str]]
    ) -> Provisioned:
        """The resources that make a server of the spec. host, port: where it is reached; None: the next free port."""


def claimed(
    request: Request, spec: ServerSpec, *, host: str, port: int | None, options: Mapping[str, str]
) -> resources.ServerLocation:
    """The server's location; protected, like the data in it. options: the target's own, see its `claim`."""
    former = targets.load(request.target).former_names
    aliases: list[str | pulumi.Alias] = [
        pulumi.Alias(name=f"{spec.name}-{name}", type_=_type(kind)) for name, kind in former.items()
    ]
    return resources.ServerLocation(
        f"{spec.name}-location",
        {
            "target": request.target,
            "server": spec.name,
            "cloneId": clone_id(request.project_root),
            "stack": request.stack,
            "projectRoot": str(request.project_root),
            "host": host,
            "requestedPort": port,
            "documentedPort": spec.documented_port,
            "secretsId": request.secrets.secretsId,
            "options": dict(options),
        },
        pulumi.ResourceOptions(protect=True, aliases=aliases),
    )


def running(
    request: Request,
    spec: ServerSpec,
    location: pulumi.Output[dict[str, Any]],
    secrets: Mapping[str, pulumi.Input[str]],
    *,
    instance: pulumi.Input[str] = "",
    upstream: tuple[pulumi.Input[Any], ...] = (),
) -> resources.Server:
    """The server itself. instance: what holds its process, where that is a resource of its own that may be replaced."""
    former = targets.load(request.target).former_types
    aliases: list[str | pulumi.Alias] = [
        pulumi.Alias(type_=_type(old)) for old, new in former.items() if new == "Server"
    ]
    return resources.Server(
        spec.name,
        {
            "spec": spec.to_json(),
            "location": location,
            "instance": instance,
            "secrets": pulumi.Output.secret(secrets),
            "upstream": list(upstream),
        },
        pulumi.ResourceOptions(aliases=aliases),
    )


def completed(
    location: pulumi.Output[dict[str, Any]], names: Mapping[str, pulumi.Input[str]], **more: pulumi.Input[Any]
) -> pulumi.Output[dict[str, Any]]:
    """A location with what is only known after it was claimed, or may change without another claim."""
    parts: pulumi.Output[dict[str, Any]] = pulumi.Output.from_input(
        {"location": location, "names": dict(names), "more": more}
    )
    return parts.apply(
        lambda found: Location.from_json(found["location"]).completed(found["names"], **found["more"]).to_json()
    )


def for_its_image(spec: ServerSpec) -> dict[str, Any]:
    """The part of a spec that is about the programs' packaging: a changed setting is none of it."""
    own = spec.packaging
    packaging = Packaging(image_user=own.image_user, data_variable=own.data_variable, programs=own.programs)
    return ServerSpec(spec.name, spec.documented_port, (), "", packaging, data_format=spec.data_format).to_json()


def _type(kind: str) -> str:
    return f"circlepay:index:{kind}"
