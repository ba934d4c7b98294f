"""What earlier releases wrote into the state of a stack of processes, as this release writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.targets.location import Location, placeholders_below
from infra.targets.processes import placement
from infra.targets.processes.target import NAME, located

Values = Mapping[str, Any]


def location_state(values: Values) -> Values | None:
    """A state of ServerFolder as one of ServerLocation; None for any other."""
    if "dataRoot" not in values:
        return None
    kept = {name: value for name, value in values.items() if name != "dataRoot"}
    upgraded = {**kept, "target": NAME, "options": {"dataRoot": values["dataRoot"]}}
    return {**upgraded, "location": _location(values).to_json()} if "folder" in values else upgraded


def _location(values: Values) -> Location:
    folder, port = Path(values["folder"]), int(values["port"])
    return Location(
        target=NAME,
        server=values["server"],
        clone=values["cloneId"],
        stack=values["stack"],
        project_root=values["projectRoot"],
        host=values["host"],
        port=port,
        user=values["systemUser"],
        placeholders=placeholders_below(folder, values["host"], port),
        names={"folder": str(folder)},
    )


def server_state(values: Values) -> Values | None:
    """A state of a server with its location; None for one that is not in a folder."""
    if "folder" not in values:
        return None
    folder = Path(values["folder"])
    # Where the folder is gone, this is enough of a location to find that out.
    placed = placement.load(folder) or placement.Placement(folder, "127.0.0.1", int(values["port"]), None)
    location = located(placed, folder.parts[-3], folder.parts[-2], "").completed({"binaries": values["binaries"]})
    return {"instance": "", **values, "location": location.to_json()}
