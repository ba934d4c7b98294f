"""Where one server is, as plain data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.endpoint import Endpoint
from infra.targets import location as locations
from infra.targets.location import Location, placeholders_below

LOCATION = Location(
    target="processes",
    server="dummy",
    clone="0123456789",
    stack="local",
    project_root="/srv/project",
    host="127.0.0.1",
    port=4711,
    user="circlepay",
    placeholders=placeholders_below(Path("/srv/dummy"), "127.0.0.1", 4711),
    names={"folder": "/srv/dummy"},
    limits={"memory": 1024},
)


def test_it_survives_the_engines_json() -> None:
    shown = json.loads(json.dumps(LOCATION.to_json()))
    assert shown["projectRoot"] == "/srv/project"
    assert Location.from_json(shown) == LOCATION


def test_numbers_that_come_back_as_floats_are_numbers() -> None:
    shown = {**LOCATION.to_json(), "port": 4711.0, "limits": {"memory": 1024.0}}
    found = Location.from_json(shown)
    assert (found, str(found.port), str(found.limits["memory"])) == (LOCATION, "4711", "1024")


@pytest.mark.parametrize("name", ["target", "host", "projectRoot", "limits"])
def test_what_is_no_location_is_refused(name: str) -> None:
    value = {key: each for key, each in LOCATION.to_json().items() if key != name}
    with pytest.raises((KeyError, TypeError)):
        Location.from_json(value)


def test_it_is_completed_by_what_is_known_later() -> None:
    found = LOCATION.completed({"binaries": "wheel"}, limits={"pids": 3})
    assert found == replace(LOCATION, names={"folder": "/srv/dummy", "binaries": "wheel"}, limits={"pids": 3})
    assert LOCATION.completed({}) == LOCATION


def test_it_is_reached_directly_or_through_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOCATION.endpoint() == Endpoint("127.0.0.1", 4711)
    monkeypatch.setattr(locations, "reach", lambda host, port, via: Endpoint(via, port))
    assert replace(LOCATION, via="ssh://host").endpoint() == Endpoint("ssh://host", 4711)


def test_placeholders_of_one_folder() -> None:
    assert LOCATION.placeholders == {
        "data": "/srv/dummy/data",
        "config": "/srv/dummy/config",
        "secrets": "/srv/dummy/secrets",
        "logs": "/srv/dummy/logs",
        "run": "/srv/dummy/run",
        "host": "127.0.0.1",
        "port": "4711",
    }
