"""What earlier releases wrote into the state of a stack of containers, as this release writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.targets.docker.container_location import placeholders
from infra.targets.docker.ownership import CLONE, PROJECT, STACK, network_name
from infra.targets.docker.target import ANYWHERE, NAME, published
from infra.targets.location import Location
from infra.tunnels import is_remote

Values = Mapping[str, Any]


def location_state(values: Values) -> Values | None:
    """A state of ContainerPlace as one of ServerLocation; None for any other."""
    if "suffix" not in values:
        return None
    kept = {name: value for name, value in values.items() if name not in ("engine", "suffix")}
    options = {"engine": values["engine"], "suffix": values["suffix"]}
    upgraded = {**kept, "target": NAME, "options": options}
    return {**upgraded, "location": _location(values).to_json()} if "container" in values else upgraded


def _location(values: Values) -> Location:
    address, port, engine = str(values["host"]), int(values["port"]), values["engine"]
    return Location(
        target=NAME,
        server=values["server"],
        clone=values["cloneId"],
        stack=values["stack"],
        project_root=values["projectRoot"],
        host=ANYWHERE.get(address, address),
        port=port,
        via=engine if is_remote(engine) else "",
        placeholders=placeholders(int(values["documentedPort"])),
        names={
            "engine": engine,
            "container": values["container"],
            "dataVolume": values["dataVolume"],
            "filesVolume": values["filesVolume"],
            "network": network_name(values["suffix"]),
            "published": published(address, port),
        },
    )


def server_state(values: Values) -> Values | None:
    """A state of ContainerServer as one of Server; None for any other."""
    if "site" not in values:
        return None
    site, engine = values["site"], values["engine"]
    location = Location(
        target=NAME,
        server=values["spec"]["name"],
        clone=site["labels"][CLONE],
        stack=site["labels"][STACK],
        project_root=site["labels"][PROJECT],
        host=values["host"],
        port=int(values["port"]),
        via=engine if is_remote(engine) else "",
        placeholders=placeholders(int(site["port"]), site["data"]),
        names={
            "engine": engine,
            "container": site["container"],
            "dataVolume": site["data_volume"],
            "filesVolume": site["files_volume"],
            "network": values["network"],
            "image": site["image"],
            "uid": site["user"],
            "dataMount": site["data_mount"],
        },
        limits={name: int(number) for name, number in values["limits"].items()},
    )
    return {"programs": "", **values, "instance": values["containerId"], "location": location.to_json()}
