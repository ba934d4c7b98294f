"""A server's parts on an engine, from its location."""

from __future__ import annotations

import json

import pytest

from infra.targets.docker import ownership
from infra.targets.docker.container_location import ContainerLocation, User, argv, placeholders
from infra.targets.location import Location
from tests.support import container_product

LOCATION = Location(
    target="docker",
    server="third",
    clone="0123456789",
    stack="dev",
    project_root="/srv/circlepay",
    host="127.0.0.1",
    port=7008,
    placeholders=placeholders(7007, "/var/lib/third/18"),
    names={
        "container": "third-circlepay",
        "image": "sha256:0",
        "uid": "999:998",
        "dataVolume": "third_data",
        "dataMount": "/var/lib/third",
        "filesVolume": "third_files",
    },
    limits={"memory": 1024, "nanoCpus": 0, "pids": 3},
)
PARTS = ContainerLocation.of(LOCATION)


def test_the_parts_that_a_location_names() -> None:
    assert (PARTS.container, PARTS.image) == ("third-circlepay", "sha256:0")
    assert (PARTS.data_volume, PARTS.files_volume) == ("third_data", "third_files")
    assert (PARTS.data, PARTS.data_mount) == ("/var/lib/third/18", "/var/lib/third")
    assert PARTS.labels == ownership.labels("0123456789", "dev", "/srv/circlepay")


def test_it_survives_the_engines_json() -> None:
    shown = LOCATION.to_json() | {"port": 7008.0, "limits": {"memory": 1024.0, "nanoCpus": 0.0, "pids": 3.0}}
    assert Location.from_json(json.loads(json.dumps(shown))) == LOCATION


def test_the_user_in_numbers() -> None:
    assert PARTS.owner == User(999, 998)
    assert str(PARTS.owner) == PARTS.user
    with pytest.raises(ValueError, match="postgres"):
        User.parse("postgres")


def test_placeholders_stand_for_places_inside() -> None:
    spec, inside = container_product.spec(), LOCATION.placeholders
    assert argv(spec, spec.start, inside) == ["redis-server", "/etc/circlepay/config/third.conf"]
    assert argv(spec, ("sh", "{data}", "{host}:{port}"), inside) == ["sh", "/var/lib/third/18", "0.0.0.0:7007"]
