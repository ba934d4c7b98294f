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
from infra.targets import lifecycle
from infra.targets import server as servers
from infra.targets.docker.container_location import ContainerLocation
from infra.targets.docker.machine import ContainerMachine
from infra.targets.lifecycle import Outcome
from infra.targets.location import Location
from infra.targets.machine import Output
from infra.targets.server import Facts, Server
from infra.targets.spec import ServerSpec
from tests.support import engine
from tests.support.container_places import LIMITS, make_container, placed


@dataclass
class Stage:
    """One server's names on the engine; everything with them goes afterwards."""

    api: Any
    location: Location
    secrets: dict[str, str] = field(default_factory=lambda: {"password": "correct-horse-battery"})

    @property
    def parts(self) -> ContainerLocation:
        """The server's parts on the engine."""
        return ContainerLocation.of(self.location)

    @property
    def network(self) -> str:
        """The network of its container."""
        return self.location.names["network"]

    def machine(self, spec: ServerSpec) -> ContainerMachine:
        """What the engine can do for it."""
        return ContainerMachine(self.api, self.location, spec)

    def server(self, spec: ServerSpec) -> Server:
        """The server as declared."""
        return Server(self.machine(spec), self.secrets)

    def initialize(self, spec: ServerSpec, cancelled: threading.Event | None = None) -> Output:
        """Its data alone."""
        server = self.server(spec)
        once = {file.path: server.texts[file.path] for file in spec.files if file.once}
        return self.machine(spec).initialize(once, cancelled or threading.Event())

    def read(self, spec: ServerSpec) -> Facts:
        """What is there."""
        return servers.read(self.server(spec))

    def plan(self, spec: ServerSpec) -> list[Change]:
        """What `apply` would do."""
        server = self.server(spec)
        return servers.plan(servers.read(server), server).changes

    def outcome(self, spec: ServerSpec, cancelled: threading.Event | None = None) -> Outcome:
        """The server as declared, in the container that is there."""
        return lifecycle.apply(self.server(spec), cancelled=cancelled or threading.Event(), progress=lambda _: None)

    def apply(self, spec: ServerSpec, cancelled: threading.Event | None = None) -> list[Change]:
        """The server as declared; what that changed."""
        return self.outcome(spec, cancelled).changes

    def stop(self, spec: ServerSpec) -> None:
        """The server's orderly end."""
        lifecycle.stop(self.server(spec), progress=lambda _: None)

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
