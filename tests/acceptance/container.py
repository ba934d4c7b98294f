"""A server's container: what its engine says of it, and the way into it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from infra.targets.containers.engine import connected
from infra.verification import ServerPlace
from tests.acceptance.machine import Address

if TYPE_CHECKING:
    from docker import APIClient

Facts = dict[str, Any]
EVERYWHERE = "0.0.0.0"
"""What the engine publishes on where no address is given; it may leave the address out."""


class ContainerBackend(BaseBackend):  # type: ignore[misc]
    """testinfra's connection into a container, through the engine's API: as the server's user, never privileged."""

    NAME = "engine"

    def __init__(self, place: ServerPlace) -> None:
        super().__init__(place.container)
        self._engine = place.engine
        self._user = place.system_user or ""

    def get_encoding(self) -> str:
        """Known, because testinfra would ask a Python in the container for it."""
        return "utf-8"

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        """What a shell in the container makes of the command. Raises TargetError when the engine refuses."""
        line = self.get_command(command, *args)
        with connected(self._engine, "look into the container", self.hostname) as api:
            number = api.exec_create(self.hostname, ["/bin/sh", "-c", line], user=self._user)["Id"]
            output, errors = api.exec_start(number, demux=True)
            code = int(api.exec_inspect(number)["ExitCode"])
        return self.result(code, self.encode(line), output or b"", errors or b"")


def connection(place: ServerPlace) -> Host:
    """testinfra's host for the inside of a container."""
    return Host(ContainerBackend(place))


@dataclass(frozen=True)
class Container:
    """A container as its engine describes it.

    about: of the container. image: of what its `Config.Image` stands for now, empty where that is unknown. volumes,
    networks: of those it has, by name.
    """

    place: ServerPlace
    about: Facts
    image: Facts = field(default_factory=dict)
    volumes: Mapping[str, Facts] = field(default_factory=dict)
    networks: Mapping[str, Facts] = field(default_factory=dict)

    @property
    def host(self) -> Facts:
        """How it was asked to be run."""
        return self.about["HostConfig"]  # type: ignore[no-any-return]

    @property
    def config(self) -> Facts:
        """What runs in it."""
        return self.about["Config"]  # type: ignore[no-any-return]

    @property
    def mounts(self) -> list[Facts]:
        """Everything mounted but tmpfs."""
        return [mount for mount in self.about["Mounts"] if mount["Type"] != "tmpfs"]

    @property
    def memory_folders(self) -> dict[str, str]:
        """Path of each tmpfs -> its options."""
        mounted = {mount["Destination"]: "" for mount in self.about["Mounts"] if mount["Type"] == "tmpfs"}
        return {**mounted, **(self.host.get("Tmpfs") or {})}

    @property
    def published(self) -> set[tuple[str, Address]]:
        """(`5432/tcp` inside, address outside) of every port, as asked for and as it is."""
        asked, actual = self.host.get("PortBindings") or {}, self.about["NetworkSettings"].get("Ports") or {}
        return {
            (inside, Address(each["HostIp"] or EVERYWHERE, int(each["HostPort"] or 0)))
            for bindings in (asked, actual)
            for inside, several in bindings.items()
            for each in several or ()
        }

    def mount_of(self, path: str) -> Facts | None:
        """The mount that holds a path."""
        above = (PurePosixPath(path), *PurePosixPath(path).parents)
        found = [mount for mount in self.mounts if PurePosixPath(mount["Destination"]) in above]
        return max(found, key=lambda mount: len(mount["Destination"]), default=None)


def declared_address(place: ServerPlace) -> Address:
    """Where the engine shall publish the server. `localhost` is the address that engines make of it."""
    host, port = place.host, place.port
    if place.published:
        text, _, number = place.published.rpartition(":")
        host, port = text.strip("[]"), int(number)
    try:
        return Address(str(ipaddress.ip_address(host)), port)
    except ValueError:
        return Address("127.0.0.1" if host == "localhost" else host, port)


def inspect(place: ServerPlace) -> Container:
    """Everything the engine says of a container. Raises TargetError when there is none, or no engine."""
    with connected(place.engine, "inspect the container", place.container) as api:
        about: Facts = api.inspect_container(place.container)
        volumes = [mount["Name"] for mount in about["Mounts"] if mount["Type"] == "volume"]
        networks = about["NetworkSettings"].get("Networks") or {}
        return Container(
            place,
            about,
            image=_image(api, about["Config"]["Image"]),
            volumes={name: api.inspect_volume(name) for name in volumes},
            # One that is not running is on none yet.
            networks={
                name: api.inspect_network(each["NetworkID"]) for name, each in networks.items() if each["NetworkID"]
            },
        )


def _image(api: APIClient, reference: str) -> Facts:
    from docker.errors import NotFound

    try:
        found: Facts = api.inspect_image(reference)
    except NotFound:
        return {}
    return found
