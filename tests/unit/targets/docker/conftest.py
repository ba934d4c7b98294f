"""A server of a third product in containers: what no line of the target was written for.

Its program is the Redis of the stand-in image, its spec is its own: other file names, a password file of its own, data
that is initialised, a reload.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from infra.changes import Change
from infra.targets.docker.container_location import ContainerLocation
from infra.targets.docker.machine import ContainerMachine
from infra.targets.location import Location
from infra.targets.machine import Output
from infra.targets.spec import ServerSpec
from tests.support import container_product, engine
from tests.support.container_places import LIMITS, make_container, placed
from tests.support.dummy_product import SECRETS
from tests.support.server_verbs import ServerVerbs


@dataclass
class Stage(ServerVerbs):
    """One server's names on the engine; everything with them goes afterwards."""

    api: Any
    location: Location
    secrets: dict[str, str] = field(default_factory=SECRETS.copy)

    @property
    def parts(self) -> ContainerLocation:
        """The server's parts on the engine."""
        return ContainerLocation.of(self.location)

    @property
    def network(self) -> str:
        """The network of its container."""
        return self.location.names["network"]

    def spec(self) -> ServerSpec:
        return container_product.spec()

    def machine(self, spec: ServerSpec) -> ContainerMachine:
        return ContainerMachine(self.api, self.location, spec)

    def initialize(self, spec: ServerSpec, cancelled: threading.Event | None = None) -> Output:
        """Its data alone."""
        server = self.server(spec)
        once = {file.path: server.texts[file.path] for file in spec.files if file.once}
        return self.machine(spec).initialize(once, cancelled or threading.Event())

    def up(self, spec: ServerSpec, **more: Any) -> list[Change]:
        """From nothing to answering."""
        make_container(self.location, spec, **more)
        return self.apply(spec)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A place for one server on the engine of this machine."""
    with placed(LIMITS) as location:
        yield Stage(engine.client(), location)


@pytest.fixture
def elsewhere(stage: Stage) -> Stage:
    """The same place for somebody else's stack."""
    return replace(stage, location=replace(stage.location, clone="another"))
