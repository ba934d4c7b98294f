"""A stack's state where it is a file of this clone: reading it is a hundred times faster than running Pulumi.

Standard library only: a purge reads it where there are no packages.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra import files
from infra.targets import foreign, target
from infra.targets.location import Location
from tools.paths import backend_url

LOCATIONS = frozenset(f"circlepay:index:{kind}" for kind in ("ServerLocation", "ServerFolder", "ContainerPlace"))
"""The type of a server's location, and those that earlier releases had for it."""
LARGEST_STATE = 1024 * 1024 * 1024
"""Bytes."""
SECRETS = "circlepay:index:GeneratedSecrets"

Deployment = Mapping[str, Any]
"""What a stack has, as Pulumi writes it: `resources`, and `pending_operations` that were started and never ended."""


def path_of(stack: str, project_root: Path) -> Path | None:
    """Where the stack's state is or would be; None where Pulumi keeps it elsewhere."""
    backend = project_root / ".circlepay" / "state"
    if os.environ.get("PULUMI_BACKEND_URL") != backend_url(backend):
        return None
    return backend / ".pulumi" / "stacks" / "circlepay" / f"{stack}.json"


def compressed(state_file: Path) -> Path:
    """The state's name where Pulumi compresses it (PULUMI_SELF_MANAGED_STATE_GZIP)."""
    return state_file.with_name(f"{state_file.name}.gz")


def deployment(state_file: Path) -> dict[str, Any]:
    """The latest deployment in a state file, plain or compressed; empty without one."""
    file = next((path for path in (state_file, compressed(state_file)) if path.exists()), None)
    return (_content(file).get("checkpoint", {}).get("latest") or {}) if file else {}


def _content(file: Path) -> Any:
    content = files.read(file, follow=True, largest=LARGEST_STATE)
    return json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)


def pending(state_file: Path) -> list[str]:
    """The names (URNs) of resources with a pending operation."""
    return [operation["resource"]["urn"] for operation in deployment(state_file).get("pending_operations") or []]


def resources(state_file: Path) -> list[str]:
    """The names (URNs) of the resources a stack has, the stack itself not counted."""
    listed = deployment(state_file).get("resources") or []
    return [resource["urn"] for resource in listed if resource["type"] != "pulumi:pulumi:Stack"]


def data_places(latest: Deployment) -> list[str]:
    """What holds the servers' data, and the env file, of a deployment; empty for a stack without any."""
    made = {
        (each.get("outputs") or {}).get("name") for each in latest.get("resources") or [] if foreign.of(each["type"])
    }
    held = [target.load(each.target).describe(each)[1] for each in locations(latest) if _is_made(each, made)]
    env_files = [str(values["envFile"]) for values in _outputs(latest, {SECRETS}) if values.get("envFile")]
    return [*sorted(held), *(file for file in env_files if Path(file).exists())]


def _is_made(location: Location, volumes: set[Any]) -> bool:
    """Whether its data exists: a volume is a resource of its own, which a killed run may not have made."""
    return location.names.get("dataVolume") in {None, *volumes}


def engines(latest: Deployment) -> list[str]:
    """URLs of the container engines that a deployment has something on."""
    return sorted({each.names["engine"] for each in locations(latest) if each.names.get("engine")})


def locations(latest: Deployment) -> list[Location]:
    """Where the servers of a deployment are."""
    states = [target.upgraded_location(values) for values in _outputs(latest, LOCATIONS)]
    return [Location.from_json(values["location"]) for values in states if values.get("location")]


def _outputs(latest: Deployment, kinds: Collection[str]) -> Iterator[Mapping[str, Any]]:
    listed = latest.get("resources") or []
    return (resource.get("outputs") or {} for resource in listed if resource["type"] in kinds)


def repair(state_file: Path) -> list[str]:
    """Repairs what a run killed in the middle of a write left; returns what was done, as sentences.

    Pulumi's file backend writes a file's attributes (`.attrs`) in place, and keeps the state before the last write as
    `.bak`. Torn attributes are only removed: the backend works without them. A torn state is replaced by the one before it,
    which is enough, since resources here are found again by the next `up`.
    """
    done = []
    for file in (state_file, compressed(state_file)):
        attributes, before = file.with_name(file.name + ".attrs"), file.with_name(file.name + ".bak")
        for torn in (attributes, before.with_name(before.name + ".attrs")):
            if is_torn(torn):
                torn.unlink()
                done.append(f"removed {torn.name}, which a killed run had left half-written")
        if is_torn(file) and before.exists() and not is_torn(before):
            before.replace(file)
            done.append(f"restored {file.name} from {before.name}: a killed run had left it half-written")
    return done


def is_torn(file: Path) -> bool:
    """Whether the file is there and cannot be read: its writer was killed."""
    try:
        _content(file)
    except FileNotFoundError:
        return False
    except (ValueError, EOFError, gzip.BadGzipFile):
        return True
    return False
