"""Locations of servers that nobody runs, and states that hold one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.targets.docker import ownership
from infra.targets.docker.container_location import placeholders
from infra.targets.location import Location, placeholders_below
from infra.tunnels import is_remote


def process_location(name: str, folder: Path, port: int) -> Location:
    """A server's location as that of a process in this folder."""
    return Location(
        target="processes",
        server=name,
        clone="0123456789",
        stack="test",
        project_root=str(folder),
        host="127.0.0.1",
        port=port,
        placeholders=placeholders_below(folder, "127.0.0.1", port),
        names={"folder": str(folder), "binaries": "wheel"},
    )


def container_location(name: str, port: int, url: str = "unix:///var/run/docker.sock") -> Location:
    """A server's location as that of a container with the documented names, on the engine at `url`."""
    own = ownership.names(name, "")
    return Location(
        target="docker",
        server=name,
        clone="0123456789",
        stack="test",
        project_root="/nowhere",
        host="127.0.0.1",
        port=port,
        via=url if is_remote(url) else "",
        placeholders=placeholders(7007, "/data"),
        names={
            "engine": url,
            "container": own.container,
            "dataVolume": own.data_volume,
            "network": ownership.network_name(""),
        },
    )


def location_resource(location: Location) -> dict[str, Any]:
    """The location's resource in a state."""
    return {
        "urn": f"urn:pulumi:test::circlepay::circlepay:index:ServerLocation::{location.server}-location",
        "type": "circlepay:index:ServerLocation",
        "outputs": location_outputs(location),
    }


def location_outputs(location: Location) -> dict[str, Any]:
    """What the location's resource outputs."""
    return {"target": location.target, "port": location.port, "location": location.to_json()}
