"""What killed runs left on container engines and no state knows of, found by our label.

    python -m infra.operations.leftovers halves STACK ENGINE...    what would keep a stack from being taken down
    python -m infra.operations.leftovers stack STACK ENGINE...     all that a stack has
    python -m infra.operations.leftovers clone [ENGINE...]         all that this clone has, there and on the usual engine
    python -m infra.operations.leftovers list [ENGINE...]          names that only

Nobody else may be at work on the stack meanwhile.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from infra.errors import CirclePayError
from infra.operations.stack import PROJECT_ROOT
from infra.targets.containers import engine, one_shot
from infra.targets.containers.ownership import CLONE, ROLE, STACK, inspected_volume
from infra.targets.containers.site import FILES_ROOT, Site
from infra.targets.placement import clone_id

if TYPE_CHECKING:
    from docker import APIClient

OPERATION = "look for what is left"
INITIALIZE, SERVER = "initialize", "server"

Mark = tuple[str, ...]


def mark(stack: str = "") -> Mark:
    """The labels of everything of this clone, or of one of its stacks, as the engine filters by them."""
    own = (f"{CLONE}={clone_id(PROJECT_ROOT)}",)
    return (*own, f"{STACK}={stack}") if stack else own


def remove_halves(api: APIClient, own: Mark) -> Iterator[str]:
    """Removes what holds the stack's volumes and is in no state: it would keep them from being deleted.

    Containers that did one thing, and servers' that were never started. Data that was being initialised goes too: there
    was nothing before it, and without its container nobody could tell any more that it is not whole.
    """
    for container in _containers(api, own):
        role, state = container["Labels"].get(ROLE), container["State"]
        if role == SERVER and state != "created":
            continue
        half_made = _half_made(api, container["Id"]) if role == INITIALIZE else None
        one_shot.remove(api, container["Id"])
        yield _name(container)
        if half_made is not None:
            one_shot.empty(api, half_made, OPERATION)
            yield f"what was begun on volume {half_made.data_volume}"


def _half_made(api: APIClient, container: str) -> Site | None:
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
    return Site(container, found["Image"], user, data, mount, mount, files, port=0, labels=own)


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


WHAT = {"halves": remove_halves, "stack": remove_all, "clone": remove_all, "list": names}


def run(what: str, stack: str, engines: Sequence[str]) -> Iterator[str]:
    """One of WHAT on every engine; what it did, or found.

    Raises CirclePayError for an engine that does not answer; a list goes on without it.
    """
    for url in dict.fromkeys(engines):
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


def main(arguments: list[str]) -> int:
    """Prints what was found, or says what was removed."""
    what, *rest = arguments
    stack, engines = ("", [*rest, *usual_engine()]) if what in {"clone", "list"} else (rest[0], rest[1:])
    try:
        for line in run(what, stack, engines):
            if what == "list":
                print(line)
            else:
                print(f"circlepay: removed {line}", file=sys.stderr, flush=True)
    except CirclePayError as error:
        print(f"circlepay: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
