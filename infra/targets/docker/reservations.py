"""Ports reserved among the stacks of one engine, up or down: an empty volume with the port in its name.

A volume's name is the one thing that an engine assigns only once: a later request gets the first volume, with its
labels. Without that, two stacks that are brought up at once find the same port free.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from infra.targets import ports
from infra.targets.docker import ownership
from infra.targets.docker.ownership import CLONE, PREFIX, PROJECT, ROLE, STACK
from infra.targets.ports import PortRequest

if TYPE_CHECKING:
    from docker import APIClient

SERVER, PORT = f"{PREFIX}server", f"{PREFIX}port"
RESERVATION = "port"


def reserve(api: APIClient, container: str, request: PortRequest, mark: Mapping[str, str], kept: int | None) -> int:
    """The port to publish a container on, reserved for its server, whose other reservations end. Raises as ports.choose."""
    wanted = {**mark, ROLE: RESERVATION, SERVER: request.server}
    while True:
        reserved, published = _reserved(api), ownership.published(api)
        mine = [port for port, labels in reserved.items() if _is_of(labels, wanted)]
        taken = {
            port: f"this port is reserved for {_owner(labels)}" for port, labels in reserved.items() if port not in mine
        }
        others = {port: name for port, name in published.items() if name != container}
        taken |= {port: f"this port is taken by container {name}" for port, name in others.items()}
        own = next((port for port, name in published.items() if name == container), None)
        known = kept or next(iter(mine), None) or own
        port = ports.choose(request, None if known in _foreign(reserved, mine) else known, taken)
        made = api.create_volume(f"circlepay_port_{port}", labels={**wanted, PORT: str(port)})
        if _is_of(made.get("Labels") or {}, wanted):
            _end(api, [each for each in mine if each != port])
            return port


def _foreign(reserved: Mapping[int, Mapping[str, str]], mine: list[int]) -> set[int]:
    return set(reserved) - set(mine)


def problem(api: APIClient, server: str, port: int, mark: Mapping[str, str]) -> str:
    """Why the port of a server is no longer reserved for it; empty while it is."""
    found = ownership.inspected_volume(api, f"circlepay_port_{port}")
    if found is None:
        return f"the reservation of port {port} is gone from the engine"
    wanted = {**mark, ROLE: RESERVATION, SERVER: server}
    return "" if _is_of(found["Labels"], wanted) else f"port {port} is reserved for {_owner(found['Labels'])} by now"


def release(api: APIClient, server: str, mark: Mapping[str, str]) -> None:
    """Ends every reservation of one server."""
    wanted = {**mark, ROLE: RESERVATION, SERVER: server}
    _end(api, [port for port, labels in _reserved(api).items() if _is_of(labels, wanted)])


def _reserved(api: APIClient) -> dict[int, Mapping[str, str]]:
    found: list[Mapping[str, Any]] = api.volumes(filters={"label": f"{ROLE}={RESERVATION}"})["Volumes"] or []
    return {int(each["Labels"][PORT]): each["Labels"] for each in found}


def _is_of(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(name) == wanted[name] for name in (CLONE, STACK, ROLE, SERVER))


def _owner(labels: Mapping[str, str]) -> str:
    return f"stack {labels.get(STACK)} in {labels.get(PROJECT)}"


def _end(api: APIClient, numbers: list[int]) -> None:
    from docker.errors import NotFound

    for port in numbers:
        try:
            api.remove_volume(f"circlepay_port_{port}")
        except NotFound:
            continue
