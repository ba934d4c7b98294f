"""Ports that the stacks of one engine leave to each other, up or down: an empty volume with the port in its name.

A volume's name is the one thing that an engine gives away once: who asks for it later gets the first one's, labels and
all. Without that, two stacks that are brought up at once find the same port free.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from infra.targets.containers import ownership
from infra.targets.containers.ownership import CLONE, PREFIX, PROJECT, ROLE, STACK, Names, Wish

if TYPE_CHECKING:
    from docker import APIClient

SERVER, PORT = f"{PREFIX}server", f"{PREFIX}port"
RESERVATION = "port"


def reserve(api: APIClient, own: Names, wish: Wish, mark: Mapping[str, str], kept: int | None) -> int:
    """The port to publish, reserved for this server, whose other reservations end; as `choose_port` otherwise."""
    wanted = {**mark, ROLE: RESERVATION, SERVER: wish.server}
    while True:
        reserved = _reserved(api)
        mine = [port for port, labels in reserved.items() if _is_of(labels, wanted)]
        others = {port: _owner(labels) for port, labels in reserved.items() if port not in mine}
        known = kept or next(iter(mine), None)
        port = ownership.choose_port(api, own, wish, None if known in others else known, others)
        made = api.create_volume(f"circlepay_port_{port}", labels={**wanted, PORT: str(port)})
        if _is_of(made.get("Labels") or {}, wanted):
            _end(api, [each for each in mine if each != port])
            return port


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


def _end(api: APIClient, ports: list[int]) -> None:
    from docker.errors import NotFound

    for port in ports:
        try:
            api.remove_volume(f"circlepay_port_{port}")
        except NotFound:
            continue
