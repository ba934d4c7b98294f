"""What killed runs left on container engines and no state knows of, found by our label."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from infra.errors import CirclePayError
from infra.paths import PROJECT_ROOT
from infra.targets.clones import clone_id
from infra.targets.docker import engine, one_shot
from infra.targets.docker.container_location import FILES_ROOT, ContainerLocation
from infra.targets.docker.ownership import CLONE, ROLE, STACK, inspected_volume

if TYPE_CHECKING:
    from docker import APIClient

OPERATION = "look for leftovers"
INITIALIZE, SERVER = "initialize", "server"

Mark = tuple[str, ...]


def mark(stack: str = "") -> Mark:
    """The labels of everything of this clone, or of one of its stacks, as the engine filters by them."""
    own = (f"{CLONE}={clone_id(PROJECT_ROOT)}",)
    return (*own, f"{STACK}={stack}") if stack else own


def remove_unfinished(api: APIClient, own: Mark) -> Iterator[str]:
    """Removes what uses the stack's volumes and is in no state: it would block their deletion.

    Containers that did one thing, and servers' that were never started. Data that was being initialised goes too: there
    was nothing before it, and only its container shows that it is not complete.
    """
    for container in _containers(api, own):
        role, state = container["Labels"].get(ROLE), container["State"]
        if role == SERVER and state != "created":
            continue
        unfinished_data = _unfinished_data(api, container["Id"]) if role == INITIALIZE else None
        one_shot.remove(api, container["Id"])
        yield _name(container)
        if unfinished_data is not None:
            one_shot.empty(api, unfinished_data, OPERATION)
            yield f"unfinished data on volume {unfinished_data.data_volume}"


def _unfinished_data(api: APIClient, container: str) -> ContainerLocation | None:
    """Where a container did not finish initialising data; None where it did, and where that volume is not ours."""
    found = api.inspect_container(container)
    if one_shot.succeeded(found["State"]):
        return None
    volumes = {mount["Destination"]: mount["Name"] for mount in found["Mounts"] if mount["Type"] == "volume"}
    files = volumes.pop(FILES_ROOT)
    mount, data = volumes.popitem()
    own, user = found["Config"]["Labels"], found["Config"]["User"]
    labels = (inspected_volume(api, data) or {}).get("Labels") or {}
    if any(labels.get(name) != own.get(name) for name in (CLONE, STACK)):
        return None
    return ContainerLocation(container, found["Image"], user, data, mount, mount, files, labels=own)


def remove_all(api: APIClient, own: Mark) -> Iterator[str]:
    """Removes every container, volume and network with this mark. Data goes, so servers need no orderly end."""
    for container in _containers(api, own):
        one_shot.remove(api, container["Id"])
        yield _name(container)
    for volume in _volumes(api, own):
        api.remove_volume(volume)
        yield f"volume {volume}"
    for network in _networks(api, own):
        api.remove_network(network)
        yield f"network {network}"


def names(api: APIClient, own: Mark) -> Iterator[str]:
    """Everything with this mark."""
    yield from map(_name, _containers(api, own))
    yield from (f"volume {volume}" for volume in _volumes(api, own))
    yield from (f"network {network}" for network in _networks(api, own))


def _containers(api: APIClient, own: Mark) -> list[dict[str, Any]]:
    return list(api.containers(all=True, filters={"label": list(own)}))


def _volumes(api: APIClient, own: Mark) -> list[str]:
    return sorted(volume["Name"] for volume in api.volumes(filters={"label": list(own)})["Volumes"] or ())


def _networks(api: APIClient, own: Mark) -> list[str]:
    return sorted(network["Name"] for network in api.networks(filters={"label": list(own)}))


def _name(container: dict[str, Any]) -> str:
    return f"container {container['Names'][0].removeprefix('/')}"


WHAT = {"unfinished": remove_unfinished, "stack": remove_all, "clone": remove_all, "list": names}


def run(what: str, stack: str, engines: Sequence[str]) -> Iterator[str]:
    """One of WHAT on every engine, of a whole clone also on the usual one; what it did, or found.

    Raises CirclePayError for an engine that does not answer; a list goes on without it.
    """
    usual = usual_engine() if what in {"clone", "list"} else []
    for url in dict.fromkeys([*engines, *usual]):
        try:
            with engine.connected(url, OPERATION, url) as api:
                yield from WHAT[what](api, mark(stack))
        except CirclePayError:
            if what != "list":
                raise


def usual_engine() -> list[str]:
    """The engine that is used where nothing else is set, if one answers."""
    try:
        url = engine.locate("", os.environ)
        with engine.connected(url, OPERATION, url):
            return [url]
    except CirclePayError:
        return []
