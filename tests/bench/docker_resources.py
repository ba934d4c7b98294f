"""The resources of pulumi-docker that a stack of ours has, as a program without ours declares them: inputs from its state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.quiet_ports import quiet_port

DEFAULTS = "__defaults"
"""What the provider notes among the inputs of its resources."""
NETWORK = "docker:index/network:Network"
IDLE = {"entrypoints": ["sleep"], "command": ["infinity"]}
"""In place of a server, which would ask for its files."""


@dataclass(frozen=True)
class Copy:
    """Another set of a stack's things on the engine.

    suffix, mark: added to the names of the stack's things, and the value of their label. own_suffix, own_mark: the copy's.
    """

    suffix: str
    mark: str
    own_suffix: str
    own_mark: str

    def of(self, value: Any) -> Any:
        """The same JSON under the copy's names."""
        text = json.dumps(value).replace(self.suffix, self.own_suffix).replace(self.mark, self.own_mark)
        return json.loads(text)


def copied(resources: Iterable[Mapping[str, Any]], copy: Copy) -> list[dict[str, Any]]:
    """Type, name and inputs of the docker resources among those of a state, containers last, idle and on other ports."""
    docker = [each for each in resources if each["type"].startswith("docker:")]
    ordered = sorted(docker, key=_is_container)
    return [
        {
            "type": each["type"],
            "name": each["urn"].rpartition("::")[2],
            "inputs": _idle(copy.of(without_defaults(each["inputs"])), _is_container(each)),
        }
        for each in ordered
    ]


def network(copy: Copy) -> dict[str, Any]:
    """A network like those that nearly every program with pulumi-docker has."""
    labels = [{"label": "io.circlepay.clone", "value": copy.own_mark}]
    return {"type": NETWORK, "name": "network", "inputs": {"name": f"network{copy.own_suffix}", "labels": labels}}


def write(path: Path, engine: str, resources: list[dict[str, Any]]) -> Path:
    """The file that the program in do_nothing/ reads."""
    path.write_text(json.dumps({"engine": engine, "resources": resources}))
    return path


def without_defaults(value: Any) -> Any:
    """Inputs as the program gave them."""
    if isinstance(value, dict):
        return {name: without_defaults(item) for name, item in value.items() if name != DEFAULTS}
    return [without_defaults(item) for item in value] if isinstance(value, list) else value


def _is_container(resource: Mapping[str, Any]) -> bool:
    return str(resource["type"]).endswith(":Container")


def _idle(inputs: dict[str, Any], is_container: bool) -> dict[str, Any]:
    if not is_container:
        return inputs
    ports = [{**port, "external": quiet_port()} for port in inputs["ports"]]
    return {**inputs, **IDLE, "ports": ports, "healthcheck": {**inputs["healthcheck"], "tests": ["CMD", "true"]}}
