"""The network of a stack's containers. Not pulumi-docker's: reading one of those waits two seconds before it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from infra.targets.docker.ownership import is_ours, refuse_foreign

if TYPE_CHECKING:
    from docker import APIClient

OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}
"""Containers of this network do not talk to each other: https://docs.docker.com/engine/network/drivers/bridge/."""


def find(api: APIClient, name: str, labels: Mapping[str, str]) -> dict[str, Any] | None:
    """What the engine says of the network of that name, None when there is none; of several, which it allows, ours."""
    found: list[dict[str, Any]] = [each for each in api.networks(names=[name]) if each["Name"] == name]
    return max(found, key=lambda each: is_ours(each.get("Labels"), labels), default=None)


def ensure(api: APIClient, name: str, labels: Mapping[str, str]) -> tuple[str, bool]:
    """The network's id, and whether it was made now. Raises TargetError for another owner's of that name."""
    found = find(api, name, labels)
    if found is not None:
        refuse_foreign(f"make network {name}", "network", name, found.get("Labels"), labels)
        if is_as_declared(found):
            return str(found["Id"]), False
        _discard(api, str(found["Id"]))
    made = api.create_network(name, driver="bridge", options=OPTIONS, labels=dict(labels), check_duplicate=True)
    return str(made["Id"]), True


def is_as_declared(found: Mapping[str, Any]) -> bool:
    """Whether a network has our options."""
    options = found.get("Options") or {}
    return found.get("Driver") == "bridge" and all(options.get(name) == value for name, value in OPTIONS.items())


def _discard(api: APIClient, network: str) -> None:
    """Removes a network of ours, containers or not: theirs are connected to the next one."""
    for container in api.inspect_network(network).get("Containers") or {}:
        api.disconnect_container_from_network(container, network, force=True)
    api.remove_network(network)


def remove(api: APIClient, name: str, labels: Mapping[str, str]) -> None:
    """Removes our network; one that is gone is fine, and one that somebody else made in its place stays."""
    found = find(api, name, labels)
    if found is not None and is_ours(found.get("Labels"), labels):
        api.remove_network(found["Id"])
