"""Names on the engine, and whose they are: what has our label is this stack's, everything else belongs to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.errors import TargetError

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
    """Our labels, which name the owner."""
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
        else "another owner: it has no label of ours"
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
                "the data in it was made with other secrets than this stack's, so no client could log in",
                "restore the state it was made with, or set circlepay:docker.suffix to begin with empty data",
            )


def inspected(api: APIClient, container: str) -> dict[str, Any] | None:
    """The engine's description of a container, None when there is none."""
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = api.inspect_container(container)
    except NotFound:
        return None
    return found


def inspected_volume(api: APIClient, name: str) -> dict[str, Any] | None:
    """The engine's description of a volume, None when there is none."""
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


def published(api: APIClient) -> dict[int, str]:
    """Ports of every container, running or not -> its name."""
    found: dict[int, str] = {}
    for summary in api.containers(all=True):
        details = inspected(api, summary["Id"])
        bindings = (details or {}).get("HostConfig", {}).get("PortBindings") or {}
        for binding in (each for several in bindings.values() for each in several or ()):
            if details and binding.get("HostPort"):
                found[int(binding["HostPort"])] = details["Name"].removeprefix("/")
    return found
