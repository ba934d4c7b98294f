"""A server of a third product in containers: what no line of the target was written for.

Its program is the Redis of the stand-in image, its spec is its own: other file names, a password file of its own, data
that is initialised, a reload.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from infra.changes import Change
from infra.endpoint import Endpoint
from infra.targets.containers import contents, images, networks, ownership, running
from infra.targets.containers.running import Limits
from infra.targets.containers.site import FILES_ROOT, Site, argv
from infra.targets.spec import ServerSpec
from tests.support import container_product, engine
from tests.support.live_servers import free_port
from tools import test_images

LIMITS = Limits(memory=64 * running.MEBIBYTE, nano_cpus=500_000_000, pids=64)


@dataclass
class Stage:
    """One server's names on the engine; everything with them goes afterwards."""

    api: Any
    site: Site
    network: str
    port: int
    secrets: dict[str, str] = field(default_factory=lambda: {"password": "correct-horse-battery"})
    limits: Limits = LIMITS

    def contents(self, spec: ServerSpec) -> contents.Work:
        """Its files and data at work."""
        return contents.Work(self.api, spec, self.site, self.secrets)

    def work(self, spec: ServerSpec) -> running.Work:
        """The server at work."""
        endpoint = Endpoint("127.0.0.1", self.port)
        return running.Work(self.api, spec, self.site, endpoint, self.network, self.limits, self.secrets)

    def prepare(self, spec: ServerSpec, cancelled: threading.Event | None = None) -> list[Change]:
        """Files and data."""
        return contents.prepare(self.contents(spec), cancelled=cancelled or threading.Event(), progress=lambda _: None)

    def apply(self, spec: ServerSpec, cancelled: threading.Event | None = None) -> list[Change]:
        """The container as declared; what that changed."""
        return self.outcome(spec, cancelled).changes

    def outcome(self, spec: ServerSpec, cancelled: threading.Event | None = None) -> running.Outcome:
        """The container as declared."""
        return running.apply(self.work(spec), cancelled=cancelled or threading.Event(), progress=lambda _: None)

    def plan(self, spec: ServerSpec) -> list[Change]:
        """What `apply` would do."""
        work = self.work(spec)
        return running.plan(running.read(work), work)

    def make_container(self, spec: ServerSpec) -> None:
        """The container as pulumi-docker makes it: not started, without limits."""
        program, *arguments = argv(spec, spec.start, self.site.places)
        inside = f"{spec.documented_port}/tcp"
        host = self.api.create_host_config(
            binds=[f"{self.site.data_volume}:{self.site.data_mount}", f"{self.site.files_volume}:{FILES_ROOT}:ro"],
            port_bindings={inside: ("127.0.0.1", self.port)},
            network_mode=self.network,
            restart_policy={"Name": "unless-stopped"},
            cap_drop=["ALL"],
        )
        self.api.create_container(
            self.site.image,
            name=self.site.container,
            entrypoint=[program],
            command=arguments,
            user=self.site.user,
            ports=[(spec.documented_port, "tcp")],
            labels=dict(self.site.labels),
            host_config=host,
        )

    def up(self, spec: ServerSpec) -> None:
        """From nothing to answering."""
        self.prepare(spec)
        self.make_container(spec)
        self.apply(spec)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A place for one server on the engine of this machine."""
    if missing := engine.absent([("redis", 7)]):
        pytest.skip(f"needs {missing}")
    api, spec, clone = engine.client(), container_product.spec(), f"test-{secrets.token_hex(4)}"
    suffix = f"-{clone}"
    own, labels = ownership.names(spec.name, suffix), ownership.labels(clone, "test", "/nowhere")
    image = api.inspect_image(test_images.reference("redis", 7))["Id"]
    found = images.fit(api, image, spec, labels)
    site = Site(
        container=own.container,
        image=image,
        user=found.user,
        data_volume=own.data_volume,
        data_mount=found.mount,
        data=found.data,
        files_volume=own.files_volume,
        port=spec.documented_port,
        labels=labels,
    )
    for volume in (own.data_volume, own.files_volume):
        api.create_volume(volume, labels=labels)
    network = ownership.network_name(suffix)
    networks.ensure(api, network, labels)
    try:
        yield Stage(api, site, network, free_port())
    finally:
        for kind in ("container", "volume", "network"):
            for belonging in engine.belongings(clone):
                if belonging.startswith(kind):
                    engine.remove(belonging)


@pytest.fixture
def elsewhere(stage: Stage) -> Stage:
    """The same place for somebody else's stack."""
    return replace(stage, site=replace(stage.site, labels={**stage.site.labels, ownership.CLONE: "another"}))
