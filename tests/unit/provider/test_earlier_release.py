"""A stack of the last release goes on: its states are read as today's, and nothing of it is replaced."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2

from infra.declarations import resources
from infra.provider.protocol import detailed_difference
from infra.provider.resource_types import handlers
from infra.provider.values import plain_map
from infra.settings.docker import DockerSettings
from infra.settings.model import ProcessesSettings
from infra.targets import target as targets
from infra.targets.clones import clone_id
from infra.targets.docker import container_hooks
from infra.targets.docker.provisioning import DockerProvisioner
from infra.targets.location import Location
from infra.targets.processes.provisioning import ProcessesProvisioner
from infra.targets.provisioning import Provisioner, Request
from infra.targets.spec import ServerSpec
from tests.support import container_product
from tests.support.placements import staged

ROOT, ENGINE = "/srv/circlepay", "unix:///var/run/docker.sock"
CLONE = clone_id(Path(ROOT))
FOLDER = f"/srv/data/{CLONE}/dev/redis"
LABELS = {"io.circlepay.clone": CLONE, "io.circlepay.stack": "dev", "io.circlepay.project": ROOT}
SPEC = ServerSpec.from_json(container_product.spec().to_json() | {"name": "redis"})
SECRETS = {"password": "correct-horse-battery"}
COMMON = {"revision": "before", "changedAt": "then", "changes": [], "drift": [], "findings": []}
PLACED = {
    "server": "redis",
    "cloneId": CLONE,
    "stack": "dev",
    "projectRoot": ROOT,
    "host": "127.0.0.1",
    "documentedPort": 7007,
    "secretsId": "set-1",
    "port": 7008,
    **COMMON,
}
RUNNING = {
    "spec": json.loads(json.dumps(SPEC.to_json())),
    "secrets": SECRETS,
    "running": True,
    "version": "7.0.15",
    "port": 7008,
    **COMMON,
}


@dataclass(frozen=True)
class LastRelease:
    """A target's location and server as the last release wrote them, and what today makes of the same settings."""

    target: str
    type_of_location: str
    location: Mapping[str, Any]
    type_of_server: str
    server: Mapping[str, Any]
    settings: Any

    def provisioner(self) -> Provisioner:
        """The same settings today."""
        request = Request(self.target, "dev", Path(ROOT), resources.GeneratedSecrets("secrets", {}))
        if self.target == "docker":
            return DockerProvisioner(request, self.settings, ENGINE)
        return ProcessesProvisioner(request, self.settings)


PROCESSES = LastRelease(
    "processes",
    "ServerFolder",
    {**PLACED, "dataRoot": "/srv/data", "folder": FOLDER, "systemUser": "circlepay"},
    "Server",
    {
        **RUNNING,
        "folder": FOLDER,
        "binaries": "wheel",
        "dataPath": f"{FOLDER}/data",
        "logPath": f"{FOLDER}/logs",
        "programs": "/usr/lib/programs",
    },
    ProcessesSettings.model_validate({"dataDirectory": "/srv/data"}),
)
DOCKER = LastRelease(
    "docker",
    "ContainerPlace",
    {
        **PLACED,
        "engine": ENGINE,
        "suffix": "-qa",
        "container": "redis-circlepay-qa",
        "dataVolume": "redis_data-qa",
        "filesVolume": "redis_files-qa",
        "labels": LABELS,
    },
    "ContainerServer",
    {
        **RUNNING,
        "engine": ENGINE,
        "site": {
            "container": "redis-circlepay-qa",
            "image": "sha256:1",
            "user": "999:998",
            "data_volume": "redis_data-qa",
            "data_mount": "/data",
            "data": "/data",
            "files_volume": "redis_files-qa",
            "port": 7007.0,
            "labels": LABELS,
        },
        "containerId": "container-1",
        "network": "circlepay-qa",
        "host": "127.0.0.1",
        "limits": {"memory": 67108864.0, "nanoCpus": 5e8, "pids": 64.0},
        "upstream": ["before"],
    },
    DockerSettings.model_validate({"suffix": "-qa"}),
)
MADE = {
    "secrets": {"secretsId": "set-1"},
    "redis-image": {"imageId": "sha256:1"},
    "redis-image-facts": {"user": "999:998", "data": "/data", "mount": "/data"},
    "redis-container": {},
}
"""Outputs of what is there already, by resource."""


def upgraded(kind: str, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state as the provider's handler of its type takes it."""
    return handlers()[f"circlepay:index:{kind}"].upgraded(state)


class Engine(pulumi.runtime.Mocks):
    """Pulumi's engine, with a stack of the last release in its state. declared: inputs by type."""

    def __init__(self, last: LastRelease) -> None:
        self.declared: dict[str, dict[str, Any]] = {}
        location = upgraded(last.type_of_location, last.location)
        self.made: dict[str, Mapping[str, Any]] = {**MADE, "redis-location": location}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        properties = struct_pb2.Struct()
        properties.update(args.inputs)
        self.declared[args.typ.rpartition(":")[2]] = plain_map(properties)
        resource_id = "container-1" if args.name == "redis-container" else args.name
        return resource_id, {**args.inputs, **self.made.get(args.name, {})}

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None


@pytest.fixture(params=[PROCESSES, DOCKER], ids=lambda last: last.target)
def last(request: pytest.FixtureRequest) -> LastRelease:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def declared(last: LastRelease, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """What today's program declares, by type."""
    engine = Engine(last)
    monkeypatch.setattr(container_hooks, "hooks", lambda *_: None)  # for which this engine has no way to call back
    pulumi.runtime.set_mocks(engine)

    def program() -> None:
        last.provisioner().provision(SPEC, host="127.0.0.1", port=None, secrets=SECRETS)

    pulumi.runtime.test(program)()
    return engine.declared


def differing(kind: str, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, int]:
    """Properties that differ -> how an `up` would settle that."""
    handler = handlers()[f"circlepay:index:{kind}"]
    return {name: found.kind for name, found in detailed_difference(handler, handler.upgraded(state), inputs).items()}


def test_the_location_is_as_declared(last: LastRelease, declared: dict[str, dict[str, Any]]) -> None:
    assert differing(last.type_of_location, last.location, declared["ServerLocation"]) == {}


def test_the_server_is_updated_in_place(last: LastRelease, declared: dict[str, dict[str, Any]]) -> None:
    found = differing(last.type_of_server, last.server, declared["Server"])
    assert found == dict.fromkeys(("location", "upstream"), provider_pb2.PropertyDiff.UPDATE)


def test_both_are_at_the_same_place(last: LastRelease, declared: dict[str, dict[str, Any]]) -> None:
    before = Location.from_json(upgraded(last.type_of_location, last.location)["location"])
    server = Location.from_json(upgraded(last.type_of_server, last.server)["location"])
    now = Location.from_json(declared["Server"]["location"])
    assert before.completed(now.names, placeholders=now.placeholders, user=now.user, limits=now.limits) == now
    for found in (before, server):
        assert (found.target, found.server, found.clone, found.stack) == (last.target, "redis", CLONE, "dev")
        assert (found.host, found.port, found.via) == (now.host, now.port, now.via)
        assert found.names.items() <= now.names.items()
    assert server.placeholders == now.placeholders


def test_nothing_of_today_is_touched(last: LastRelease) -> None:
    for kind, state in ((last.type_of_location, last.location), (last.type_of_server, last.server)):
        once = upgraded(kind, state)
        assert upgraded(kind, once) == once
        assert once.items() >= {**COMMON, "port": 7008}.items()
        assert upgraded(kind, {}) == {}


@pytest.mark.parametrize(
    ("last", "option"), [(PROCESSES, "dataRoot"), (DOCKER, "suffix")], ids=["processes", "docker"], indirect=["last"]
)
def test_what_cannot_change_is_refused_by_the_inputs_of_then(
    last: LastRelease, declared: dict[str, dict[str, Any]], option: str
) -> None:
    handler, inputs = handlers()["circlepay:index:ServerLocation"], declared["ServerLocation"]
    outputs = {"port", "folder", "systemUser", "container", "dataVolume", "filesVolume", "labels", *COMMON}
    before = handler.upgraded({name: value for name, value in last.location.items() if name not in outputs})
    assert handler.unchangeable(before, inputs) == {}
    moved = handler.unchangeable(before, inputs | {"cloneId": "another"})
    assert f"cloneId cannot change from '{CLONE}' to 'another'" in moved["cloneId"]
    renamed = handler.unchangeable(before, inputs | {"options": {**inputs["options"], option: "/another"}})
    assert f"{option} cannot change" in renamed["options"]
    assert "`make down DATA=delete`" in renamed["options"]


@pytest.fixture
def placed() -> Iterator[tuple[Location, dict[str, Any]]]:
    """A folder's location, and a server in it as the last release wrote it."""
    with staged() as stage:
        place = stage.place(SPEC, stack="dev", clone=CLONE, host="localhost")
        location = stage.server(place, SPEC, SECRETS).machine.location
        yield location, {**PROCESSES.server, "folder": str(place.folder), "port": place.port}


def test_the_mark_of_a_folder_tells_the_rest_of_its_location(placed: tuple[Location, dict[str, Any]]) -> None:
    location, state = placed
    found = Location.from_json(upgraded("Server", state)["location"])
    assert found == Location.from_json({**location.to_json(), "projectRoot": ""})


def test_former_types_are_those_of_every_target() -> None:
    found = handlers()
    former = {old: new for name in targets.names() for old, new in targets.load(name).former_types.items()}
    assert former == {"ServerFolder": "ServerLocation", "ContainerPlace": "ServerLocation", "ContainerServer": "Server"}
    assert all(found[f"circlepay:index:{old}"] is found[f"circlepay:index:{new}"] for old, new in former.items())
