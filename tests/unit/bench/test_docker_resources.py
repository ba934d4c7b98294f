"""The same docker resources without ours: other names, the same inputs, and nothing of the provider's notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bench import docker_resources
from tests.bench.docker_resources import Copy

COPY = Copy(suffix="-clone-1", mark="0123456789", own_suffix="-bench-2", own_mark="abcdef")


def resource(kind: str, resource_name: str, **inputs: Any) -> dict[str, Any]:
    module = kind[0].lower() + kind[1:]
    urn = f"urn:pulumi:local::circlepay::x::{resource_name}"
    return {"type": f"docker:index/{module}:{kind}", "urn": urn, "inputs": inputs}


def container(name: str) -> dict[str, Any]:
    return resource(
        "Container",
        name,
        __defaults=["logs"],
        name=f"{name}-clone-1",
        entrypoints=["postgres"],
        command=["-D", "/data"],
        healthcheck={"__defaults": [], "tests": ["CMD", "pg_isready"], "interval": "10s"},
        ports=[{"__defaults": [], "internal": 5432, "external": 5432, "ip": "127.0.0.1"}],
        labels=[{"label": "io.circlepay.clone", "value": "0123456789"}],
        memory=512,
    )


def test_only_docker_resources_are_copied_and_containers_come_last() -> None:
    own = {**resource("Server", "postgres"), "type": "circlepay:index:Server"}
    made = docker_resources.copied([container("a"), own, resource("Volume", "data", name="data-clone-1")], COPY)
    assert [each["name"] for each in made] == ["data", "a"]
    assert made[0]["inputs"] == {"name": "data-bench-2"}


def test_copied_container_is_the_same_but_idle_under_another_name_on_another_port() -> None:
    original = docker_resources.without_defaults(container("a")["inputs"])
    (copied,) = docker_resources.copied([container("a")], COPY)
    inputs = copied["inputs"]
    assert inputs["ports"][0].pop("external") != original["ports"][0].pop("external")
    assert inputs == {
        **original,
        "name": "a-bench-2",
        "entrypoints": ["sleep"],
        "command": ["infinity"],
        "healthcheck": {"tests": ["CMD", "true"], "interval": "10s"},
        "labels": [{"label": "io.circlepay.clone", "value": "abcdef"}],
    }


def test_originals_are_left_as_they_were() -> None:
    original = container("a")
    docker_resources.copied([original], COPY)
    assert original == container("a")


def test_what_is_removed_at_the_end_is_found_by_the_copys_own_mark() -> None:
    inputs = docker_resources.network(COPY)["inputs"]
    assert inputs == {"name": "network-bench-2", "labels": [{"label": "io.circlepay.clone", "value": "abcdef"}]}


def test_program_reads_what_was_written(tmp_path: Path) -> None:
    path = docker_resources.write(tmp_path / "declared.json", "unix:///engine", [docker_resources.network(COPY)])
    read = json.loads(path.read_text())
    assert read["engine"] == "unix:///engine"
    assert [each["name"] for each in read["resources"]] == ["network"]
