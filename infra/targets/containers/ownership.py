"""Names on the engine, and whose they are: what carries our label is this stack's, everything else is somebody's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.errors import TargetError
from infra.targets import ports

if TYPE_CHECKING:
    from docker import APIClient

PREFIX = "io.circlepay."
CLONE, STACK, PROJECT = (f"{PREFIX}{name}" for name in ("clone", "stack", "project"))
SECRETS, ROLE, NETWORK = (f"{PREFIX}{name}" for name in ("secrets", "role", "network"))


@dataclass(frozen=True)
class Names:
    """What one server's things are called on the engine."""

    container: str
    data_volume: str
    files_volume: str


def names(server: str, suffix: str) -> Names:
    """The documented names (`redis-circlepay`, `redis_data`), with the stack's suffix."""
    return Names(f"{server}-circlepay{suffix}", f"{server}_data{suffix}", f"{server}_files{suffix}")


def network_name(suffix: str) -> str:
    """The network of a stack's containers."""
    return f"circlepay{suffix}"


def labels(clone_id: str, stack: str, project_root: str) -> dict[str, str]:
    """Our mark, for whoever finds the thing and for us."""
    return {CLONE: clone_id, STACK: stack, PROJECT: project_root}


def is_ours(found: Mapping[str, str] | None, own: Mapping[str, str]) -> bool:
    """Whether these labels are this stack's."""
    return all((found or {}).get(label) == own[label] for label in (CLONE, STACK))


def refuse_foreign(
    operation: str, kind: str, name: str, found: Mapping[str, str] | None, own: Mapping[str, str]
) -> None:
    """Raises TargetError for a thing of that name that does not carry this stack's label."""
    if is_ours(found, own):
        return
    mark = found or {}
    owner = (
        f"stack {mark[STACK]} in {mark.get(PROJECT, '?')}"
        if STACK in mark
        else "somebody else: it has no label of ours"
    )
    raise TargetError(
        operation,
        f"{kind} {name}",
        f"there is one already, and it belongs to {owner}",
        f"remove or rename it yourself, or set circlepay:docker.suffix so that this stack's {kind} has another name",
    )


def claim(api: APIClient, operation: str, own: Names, mark: Mapping[str, str], secrets_id: str) -> None:
    """Raises TargetError unless the names are free or ours, and the data was made with these secrets."""
    container = inspected(api, own.container)
    if container is not None:
        refuse_foreign(operation, "container", own.container, container["Config"]["Labels"], mark)
    for name in (own.data_volume, own.files_volume):
        volume = inspected_volume(api, name)
        if volume is None:
            continue
        refuse_foreign(operation, "volume", name, volume["Labels"], mark)
        if name == own.data_volume and volume["Labels"].get(SECRETS) != secrets_id:
            raise TargetError(
                operation,
                f"volume {name}",
                "the data in it was made with other secrets than this stack's, so nobody could log in",
                "bring back the state it was made with, or set circlepay:docker.suffix to begin with empty data",
            )


def inspected(api: APIClient, container: str) -> dict[str, Any] | None:
    """What the engine says of a container, None when there is none."""
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = api.inspect_container(container)
    except NotFound:
        return None
    return found


def inspected_volume(api: APIClient, name: str) -> dict[str, Any] | None:
    """What the engine says of a volume, None when there is none."""
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = api.inspect_volume(name)
    except NotFound:
        return None
    return {**found, "Labels": found.get("Labels") or {}}


def secrets_of(api: APIClient, clone_id: str, stack: str) -> set[str]:
    """The sets of secrets that a stack's volumes were made with."""
    mark = [f"{CLONE}={clone_id}", f"{STACK}={stack}", SECRETS]
    return {str(each["Labels"][SECRETS]) for each in api.volumes(filters={"label": mark})["Volumes"] or ()}


@dataclass(frozen=True)
class Wish:
    """Where a server shall be published. requested: the port asked for, None for the documented or the next free one.

    local: the engine is this machine's, whose ports can be tried; of another one only its containers' are known.
    """

    server: str
    host: str
    requested: int | None
    documented: int
    local: bool = True


def choose_port(
    api: APIClient, own: Names, wish: Wish, kept: int | None, reserved: Mapping[int, str] | None = None
) -> int:
    """The port to publish: the one asked for, the one kept from before, or the next free one from the documented on.

    reserved: ports of others -> whose they are. Raises TargetError when the one asked for is taken.
    """
    published = _published(api)
    kept = kept or next((port for port, name in published.items() if name == own.container), None)
    others = {port: f"container {name}" for port, name in published.items() if name != own.container}
    others = {**(reserved or {}), **others}
    if wish.requested is None:
        return kept or _next_free(wish, others)
    if wish.requested != kept and not _is_free(wish, wish.requested, others):
        owner = others.get(wish.requested) or str(ports.listener(wish.requested))
        raise TargetError(
            f"place {wish.server}",
            f"{wish.host}:{wish.requested}",
            f"this port is taken by {owner}",
            f"set circlepay:{wish.server}.port to another port, or leave it out to take the next free one",
        )
    return wish.requested


def _next_free(wish: Wish, others: Mapping[int, str]) -> int:
    for port in range(wish.documented, min(wish.documented + ports.TRIES, 65536)):
        if _is_free(wish, port, others):
            return port
    cause = f"none of the {ports.TRIES} ports from this one on is free"
    raise TargetError(f"place {wish.server}", f"{wish.host}:{wish.documented}", cause)


def _is_free(wish: Wish, port: int, others: Mapping[int, str]) -> bool:
    return port not in others and (not wish.local or ports.is_free(wish.host, port))


def _published(api: APIClient) -> dict[int, str]:
    """Ports of every container, running or not -> its name."""
    found: dict[int, str] = {}
    for summary in api.containers(all=True):
        details = inspected(api, summary["Id"])
        bindings = (details or {}).get("HostConfig", {}).get("PortBindings") or {}
        for binding in (each for several in bindings.values() for each in several or ()):
            if details and binding.get("HostPort"):
                found[int(binding["HostPort"])] = details["Name"].removeprefix("/")
    return found
