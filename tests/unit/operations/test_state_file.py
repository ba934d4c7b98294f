"""What a stack's state file says: what it has and where, and what was begun and never ended."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from infra.operations import state_file
from tests.support.locations import container_location, location_outputs, location_resource, process_location

STACK = {"urn": "urn:pulumi:local::circlepay::pulumi:pulumi:Stack::circlepay-local", "type": "pulumi:pulumi:Stack"}
SERVER = {"urn": "urn:pulumi:local::circlepay::circlepay:index:Server::postgres", "type": "circlepay:index:Server"}


def _write(path: Path, latest: object, *, compressed: bool = False) -> Path:
    text = json.dumps({"version": 3, "checkpoint": {"stack": "local", "latest": latest}}).encode()
    if compressed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(text))
    else:
        path.write_bytes(text)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_begun_operations_are_named(tmp_path: Path, compressed: bool) -> None:
    latest = {"resources": [STACK], "pending_operations": [{"resource": SERVER, "type": "creating"}]}
    assert state_file.pending(_write(tmp_path / "local.json", latest, compressed=compressed)) == [SERVER["urn"]]


@pytest.mark.parametrize("latest", [None, {}, {"resources": [STACK]}, {"pending_operations": None}])
def test_a_stack_at_rest_has_none(tmp_path: Path, latest: object) -> None:
    path = _write(tmp_path / "local.json", latest)
    assert state_file.pending(path) == []
    assert state_file.resources(path) == []


def test_no_state_is_nothing(tmp_path: Path) -> None:
    assert state_file.resources(tmp_path / "local.json") == []


def test_the_stack_itself_is_no_resource_of_it(tmp_path: Path) -> None:
    assert state_file.resources(_write(tmp_path / "local.json", {"resources": [STACK, SERVER]})) == [SERVER["urn"]]


@pytest.mark.parametrize("torn", [b"", b'{"checkpoint": {"latest'])
def test_a_state_torn_by_a_kill_is_the_one_before_it_again(tmp_path: Path, torn: bytes) -> None:
    state, before = tmp_path / "local.json", tmp_path / "local.json.bak"
    state.write_bytes(torn)
    before.write_text('{"checkpoint": {}}')
    assert len(state_file.repair(state)) == 1
    assert state.read_text() == '{"checkpoint": {}}'
    assert state_file.repair(state) == []


def test_torn_attributes_are_removed_and_whole_ones_stay(tmp_path: Path) -> None:
    state = tmp_path / "local.json"
    state.write_text('{"checkpoint": {}}')
    attributes = tmp_path / "local.json.attrs"
    attributes.write_text("{}")
    assert state_file.repair(state) == []
    attributes.write_text("")
    assert len(state_file.repair(state)) == 1
    assert not attributes.exists()
    assert state.exists()


def test_a_torn_state_with_nothing_before_it_is_left_to_pulumi_to_complain_about(tmp_path: Path) -> None:
    state = tmp_path / "local.json"
    state.touch()
    assert state_file.repair(state) == []
    assert state.exists()


# Where the data is -----------------------------------------------------------------------------------------------------


def _deployment(env_file: Path) -> dict[str, Any]:
    locations = [process_location(name, Path("/srv") / name, 1) for name in ("redis", "postgres")]
    others = [("Server", location_outputs(locations[0])), ("GeneratedSecrets", {"envFile": str(env_file)})]
    listed = [{"type": f"circlepay:index:{kind}", "outputs": outputs} for kind, outputs in others]
    return {"resources": [*map(location_resource, locations), *listed]}


def test_folders_and_the_env_file_where_there_is_one(tmp_path: Path) -> None:
    env_file = tmp_path / ".env.local"
    assert state_file.data_places(_deployment(env_file)) == ["/srv/postgres/data", "/srv/redis/data"]
    env_file.touch()
    assert state_file.data_places(_deployment(env_file)) == ["/srv/postgres/data", "/srv/redis/data", str(env_file)]


def _container_place(server: str, engine: str = "unix:///run/engine.sock") -> dict[str, Any]:
    return location_resource(container_location(server, 1, engine))


def _volume(name: str) -> dict[str, Any]:
    return {"type": "docker:index/volume:Volume", "outputs": {"name": name}}


def test_of_containers_the_volumes_of_data_that_were_made() -> None:
    made = [_volume(name) for name in ("redis_data", "redis_files", "postgres_files", "somebody_elses")]
    latest = {"resources": [_container_place("redis"), _container_place("postgres"), *made]}
    assert state_file.data_places(latest) == ["volume redis_data"]
    assert state_file.data_places({"resources": [*latest["resources"], _volume("postgres_data")]}) == [
        "volume postgres_data",
        "volume redis_data",
    ]


def test_engines_are_told_once_and_only_where_something_is(tmp_path: Path) -> None:
    places = [_container_place("redis"), _container_place("postgres"), _container_place("third", "ssh://db1")]
    assert state_file.engines({"resources": places}) == ["ssh://db1", "unix:///run/engine.sock"]
    assert state_file.engines(_deployment(tmp_path)) == []
    path = _write(tmp_path / "local.json", {"resources": places[1:]})
    assert state_file.engines(state_file.deployment(path)) == ["ssh://db1", "unix:///run/engine.sock"]


@pytest.mark.parametrize("latest", [{}, {"resources": None}, {"resources": [{"type": "pulumi:pulumi:Stack"}]}])
def test_a_stack_without_any_has_none(latest: dict[str, Any]) -> None:
    assert state_file.data_places(latest) == []


def test_a_state_of_an_earlier_release_tells_the_same() -> None:
    folder = {"folder": "/srv/redis", "dataRoot": "/srv", "port": 1, "host": "127.0.0.1", "systemUser": "", **MARK}
    place = {
        **MARK,
        "engine": "unix:///run/engine.sock",
        "suffix": "",
        "host": "127.0.0.1",
        "documentedPort": 6379,
        "port": 6379,
        "container": "redis-circlepay",
        "dataVolume": "redis_data",
        "filesVolume": "redis_files",
    }
    kinds = {"ServerFolder": folder, "ContainerPlace": place}
    listed = [{"type": f"circlepay:index:{kind}", "outputs": outputs} for kind, outputs in kinds.items()]
    latest = {"resources": [*listed, _volume("redis_data")]}
    assert state_file.data_places(latest) == ["/srv/redis/data", "volume redis_data"]
    assert state_file.engines(latest) == ["unix:///run/engine.sock"]


MARK = {"server": "redis", "cloneId": "0123456789", "stack": "local", "projectRoot": "/srv/clone"}
