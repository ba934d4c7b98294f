"""Says where a stack's data and env file are: what `make down` keeps, and what DATA=delete deletes.

python -m tools.stack_places [--engines] STATE_FILE
pulumi stack export | python -m tools.stack_places [--engines] -

--engines: the container engines it has something on instead, one URL a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.stack_state import deployment

FOLDER, SECRETS = "circlepay:index:ServerFolder", "circlepay:index:GeneratedSecrets"
CONTAINER_PLACE, VOLUME = "circlepay:index:ContainerPlace", "docker:index/volume:Volume"

Deployment = Mapping[str, Any]


def places(latest: Deployment) -> list[str]:
    """The servers' folders or volumes and the env file of a deployment; empty for a stack without any."""
    folders = [str(values["folder"]) for values in _outputs(latest, FOLDER) if "folder" in values]
    files = [str(values["envFile"]) for values in _outputs(latest, SECRETS) if values.get("envFile")]
    return [*sorted(folders), *sorted(_volumes(latest)), *(file for file in files if Path(file).exists())]


def _volumes(latest: Deployment) -> list[str]:
    """Volumes of data, as far as they were made; those of files are made again by every `up`."""
    made = {values.get("name") for values in _outputs(latest, VOLUME)}
    return [
        f"volume {place['dataVolume']}"
        for place in _outputs(latest, CONTAINER_PLACE)
        if place.get("dataVolume") in made
    ]


def engines(latest: Deployment) -> list[str]:
    """URLs of the container engines that a deployment has containers or volumes on."""
    return sorted({str(place["engine"]) for place in _outputs(latest, CONTAINER_PLACE) if place.get("engine")})


def _outputs(latest: Deployment, kind: str) -> Iterator[Mapping[str, Any]]:
    listed = latest.get("resources") or []
    return (resource.get("outputs") or {} for resource in listed if resource["type"] == kind)


def in_words(found: list[str]) -> str:
    """`A, B and C`."""
    *most, last = found or [""]
    return f"{', '.join(most)} and {last}" if most else last


def main(arguments: list[str]) -> int:
    """Prints the places on one line, or the engines."""
    *options, source = arguments
    latest = json.load(sys.stdin).get("deployment") or {} if source == "-" else deployment(Path(source))
    print("\n".join(engines(latest)) if options == ["--engines"] else in_words(places(latest)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
