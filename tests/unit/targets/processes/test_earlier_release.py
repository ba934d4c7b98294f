"""States of stacks that the release before 0.2 brought up, as this release understands them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.targets import target as targets
from infra.targets.location import Location
from infra.targets.processes import earlier_release
from infra.targets.processes.placement import Placement
from infra.targets.spec import ServerSpec
from tests.support.dummy_product import SECRETS, spec
from tests.support.placements import PROJECT, Stage


def folder_inputs(stage: Stage) -> dict[str, Any]:
    """What the program declared for a ServerFolder; numbers come from the engine as floats."""
    return {
        "server": "dummy",
        "dataRoot": str(stage.root),
        "cloneId": "0123456789",
        "stack": "local",
        "projectRoot": str(PROJECT),
        "host": "127.0.0.1",
        "documentedPort": float(stage.first_port),
        "secretsId": "first",
    }


def folder_state(stage: Stage, place: Placement) -> dict[str, Any]:
    outputs = {"folder": str(place.folder), "port": float(place.port), "systemUser": place.system_user or ""}
    return {**folder_inputs(stage), **outputs}


def server_state(stage: Stage, place: Placement) -> dict[str, Any]:
    """What the state had of a Server of that release."""
    return {
        "spec": spec().to_json(),
        "folder": str(place.folder),
        "port": float(place.port),
        "binaries": stage.binaries(spec()),
        "secrets": dict(SECRETS),
        "running": True,
        "version": "3.2",
        "dataPath": str(place.sub("data")),
        "logPath": str(place.sub("logs")),
        "programs": str(stage.programs(spec())),
    }


def test_a_folder_is_the_location_that_is_claimed_now(stage: Stage) -> None:
    place = stage.place(spec())
    upgraded = earlier_release.location_state(folder_state(stage, place))
    assert upgraded is not None
    assert (upgraded["target"], upgraded["options"]) == ("processes", {"dataRoot": str(stage.root)})
    assert (upgraded["port"], upgraded["secretsId"]) == (place.port, "first")
    assert "dataRoot" not in upgraded
    location = Location.from_json(upgraded["location"])
    own = stage.server(place, spec(), SECRETS).machine.location
    assert location.completed({"binaries": own.names["binaries"]}) == own
    assert targets.load("processes").find(location, port_requested=False) == (True, "")


def test_what_was_declared_is_upgraded_before_there_is_a_folder(stage: Stage) -> None:
    upgraded = earlier_release.location_state(folder_inputs(stage))
    assert upgraded is not None
    assert upgraded["target"] == "processes"
    assert "location" not in upgraded


def test_a_server_has_the_location_of_its_folder_and_nothing_restarts(stage: Stage) -> None:
    place = stage.place(spec())
    stage.apply(place, spec(), SECRETS)
    upgraded = earlier_release.server_state(server_state(stage, place))
    assert upgraded is not None
    location = Location.from_json(json.loads(json.dumps(upgraded["location"])))
    own = stage.server(place, spec(), SECRETS).machine.location
    assert location.completed({}, project_root=own.project_root) == own
    assert (upgraded["instance"], upgraded["version"]) == ("", "3.2")
    with targets.load("processes").machine(location, ServerSpec.from_json(upgraded["spec"])) as machine:
        assert machine is not None
        assert machine.process().running


def test_a_server_whose_folder_is_gone_is_found_to_be(stage: Stage) -> None:
    place = stage.place(spec())
    state = {**server_state(stage, place), "folder": str(place.folder.with_name("gone"))}
    upgraded = earlier_release.server_state(state)
    assert upgraded is not None
    location = Location.from_json(upgraded["location"])
    assert targets.load("processes").find(location, port_requested=False) == (False, "")
    with targets.load("processes").machine(location, spec()) as machine:
        assert machine is None


@pytest.mark.parametrize("values", [{}, {"engine": "", "site": {}}, {"target": "processes", "location": {}}])
def test_other_states_are_left_to_others(values: dict[str, Any]) -> None:
    assert earlier_release.location_state(values) is None
    assert earlier_release.server_state(values) is None


def test_a_folder_below_a_path_is_named_by_it() -> None:
    state: dict[str, Any] = {"folder": "/srv/0123456789/local/dummy", "port": 1.0, "binaries": "wheel", "spec": {}}
    upgraded = earlier_release.server_state(state)
    assert upgraded is not None
    location = Location.from_json(upgraded["location"])
    assert (location.clone, location.stack, location.server) == ("0123456789", "local", "dummy")
    assert Path(location.names["folder"]) == Path(state["folder"])
