"""A server's container: its description by the engine, and a testinfra connection into it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from infra.targets.docker.engine import connected
from infra.targets.location import Location
from infra.verification.checks.machine import Address

if TYPE_CHECKING:
    from docker import APIClient

Facts = dict[str, Any]
ALL_INTERFACES = "0.0.0.0"  # noqa: S104
"""Where the engine publishes a port without an address; the engine may then leave the address out."""


class ContainerBackend(BaseBackend):  # type: ignore[misc]
    """testinfra's backend for a container, through the engine's API: as the server's user, never privileged."""

    NAME = "engine"

    def __init__(self, location: Location) -> None:
        super().__init__(location.names["container"])
        self._engine = location.names["engine"]
        self._user = location.user

    def get_encoding(self) -> str:
        """Fixed, because testinfra would run Python in the container to find out."""
        return "utf-8"

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        """Runs the command by a shell in the container. Raises TargetError when the engine refuses."""
        line = self.get_command(command, *args)
        with connected(self._engine, "inspect the inside of the container", self.hostname) as api:
            number = api.exec_create(self.hostname, ["/bin/sh", "-c", line], user=self._user)["Id"]
            output, errors = api.exec_start(number, demux=True)
            code = int(api.exec_inspect(number)["ExitCode"])
        return self.result(code, self.encode(line), output or b"", errors or b"")


def connection(location: Location) -> Host:
    """testinfra's host for the inside of a container."""
    return Host(ContainerBackend(location))


@dataclass(frozen=True)
class Container:
    """A container as its engine describes it.

    about: description of the container. image: of the image that its `Config.Image` refers to now, empty if unknown.
    volumes, networks: of those it uses, by name.
    """

    location: Location
    about: Facts
    image: Facts = field(default_factory=dict)
    volumes: Mapping[str, Facts] = field(default_factory=dict)
    networks: Mapping[str, Facts] = field(default_factory=dict)

    @property
    def host(self) -> Facts:
        """Its HostConfig: limits, mounts, security options as requested."""
        return self.about["HostConfig"]  # type: ignore[no-any-return]

    @property
    def config(self) -> Facts:
        """Its Config: image, command, user, health check."""
        return self.about["Config"]  # type: ignore[no-any-return]

    @property
    def mounts(self) -> list[Facts]:
        """All mounts except tmpfs."""
        return [mount for mount in self.about["Mounts"] if mount["Type"] != "tmpfs"]

    @property
    def memory_folders(self) -> dict[str, str]:
        """Path of each tmpfs -> its options."""
        mounted = {mount["Destination"]: "" for mount in self.about["Mounts"] if mount["Type"] == "tmpfs"}
        return {**mounted, **(self.host.get("Tmpfs") or {})}

    @property
    def published(self) -> set[tuple[str, Address]]:
        """(`5432/tcp` inside, address outside) of every published port, as requested and as in effect."""
        asked, actual = self.host.get("PortBindings") or {}, self.about["NetworkSettings"].get("Ports") or {}
        return {
            (inside, Address(each["HostIp"] or ALL_INTERFACES, int(each["HostPort"] or 0)))
            for bindings in (asked, actual)
            for inside, several in bindings.items()
            for each in several or ()
        }

    def mount_of(self, path: str) -> Facts | None:
        """The mount that contains a path."""
        above = (PurePosixPath(path), *PurePosixPath(path).parents)
        found = [mount for mount in self.mounts if PurePosixPath(mount["Destination"]) in above]
        return max(found, key=lambda mount: len(mount["Destination"]), default=None)


def declared_address(location: Location) -> Address:
    """Where the engine must publish the server; `localhost` becomes 127.0.0.1, as in engines."""
    text, _, number = location.names["published"].rpartition(":")
    host, port = text.strip("[]"), int(number)
    try:
        return Address(str(ipaddress.ip_address(host)), port)
    except ValueError:
        return Address("127.0.0.1" if host == "localhost" else host, port)


def inspect(location: Location) -> Container:
    """The engine's description of a container. Raises TargetError when the container or the engine is missing."""
    name = location.names["container"]
    with connected(location.names["engine"], "inspect the container", name) as api:
        about: Facts = api.inspect_container(name)
        volumes = [mount["Name"] for mount in about["Mounts"] if mount["Type"] == "volume"]
        networks = about["NetworkSettings"].get("Networks") or {}
        return Container(
            location,
            about,
            image=_image(api, about["Config"]["Image"]),
            volumes={name: api.inspect_volume(name) for name in volumes},
            # A container that is not running is not connected to its networks.
            networks={
                name: api.inspect_network(each["NetworkID"]) for name, each in networks.items() if each["NetworkID"]
            },
        )


def _image(api: APIClient, reference: str) -> Facts:
    from docker.errors import NotFound

    try:
        found: Facts = api.inspect_image(reference)  # type: ignore[no-untyped-call]
    except NotFound:
        return {}
    return found
