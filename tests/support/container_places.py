"""A place for one server of the third product on the engine of this machine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from infra.targets.docker import images, networks, ownership
from infra.targets.docker.container_location import FILES_ROOT, ContainerLocation, argv, placeholders
from infra.targets.docker.limits import MEBIBYTE
from infra.targets.docker.target import NAME, published
from infra.targets.location import Location
from infra.targets.spec import ServerSpec
from tests.images import references as test_images
from tests.support import container_product, engine
from tests.support.quiet_ports import quiet_port

LIMITS = {"memory": 64 * MEBIBYTE, "nanoCpus": 500_000_000, "pids": 64}


@contextmanager
def placed(limits: dict[str, int]) -> Iterator[Location]:
    """The location with its volumes and its network; everything with its names goes afterwards."""
    if missing := engine.absent([("redis", 7)]):
        pytest.skip(f"needs {missing}")
    location = _located(engine.client(), f"test-{secrets.token_hex(4)}", limits)
    parts = ContainerLocation.of(location)
    try:
        for volume in (parts.data_volume, parts.files_volume):
            engine.client().create_volume(volume, labels=parts.labels)
        networks.ensure(engine.client(), location.names["network"], parts.labels)
        yield location
    finally:
        for kind in ("container", "volume", "network"):
            for belonging in engine.belongings(location.clone):
                if belonging.startswith(kind):
                    engine.remove(belonging)


def _located(api: Any, clone: str, limits: dict[str, int]) -> Location:
    """As the provisioner completes it."""
    spec, suffix, port = container_product.spec(), f"-{clone}", quiet_port()
    own = ownership.names(spec.name, suffix)
    image = api.inspect_image(test_images.reference("redis", 7))["Id"]
    found = images.facts(api, image, spec, ownership.labels(clone, "test", "/nowhere"))
    return Location(
        target=NAME,
        server=spec.name,
        clone=clone,
        stack="test",
        project_root="/nowhere",
        host="127.0.0.1",
        port=port,
        user=spec.packaging.image_user,
        placeholders=placeholders(spec.documented_port, found.data),
        names={
            "engine": engine.url(),
            "container": own.container,
            "dataVolume": own.data_volume,
            "filesVolume": own.files_volume,
            "network": ownership.network_name(suffix),
            "published": published("127.0.0.1", port),
            "image": image,
            "uid": found.user,
            "dataMount": found.mount,
        },
        limits=limits,
    )


def make_container(location: Location, spec: ServerSpec, **more: Any) -> None:
    """The container as pulumi-docker makes it: not started, without limits. more: as the SDK's `create_container` takes it."""
    api, parts = engine.client(), ContainerLocation.of(location)
    program, *arguments = argv(spec, spec.start, location.placeholders)
    host = api.create_host_config(
        binds=[f"{parts.data_volume}:{parts.data_mount}", f"{parts.files_volume}:{FILES_ROOT}:ro"],
        port_bindings={f"{spec.documented_port}/tcp": (location.host, location.port)},
        network_mode=location.names["network"],
        restart_policy={"Name": "unless-stopped"},
        cap_drop=["ALL"],
    )
    api.create_container(
        parts.image,
        name=parts.container,
        entrypoint=[program],
        command=arguments,
        user=parts.user,
        ports=[(spec.documented_port, "tcp")],
        labels=dict(parts.labels),
        host_config=host,
        **more,
    )
