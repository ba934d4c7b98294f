"""A server's parts on an engine, from its location."""

from __future__ import annotations

import pytest

from infra.targets.docker import ownership
from infra.targets.docker.container_location import ContainerLocation, User, argv, placeholders
from tests.support import container_product
from tests.support.locations import container_location

LOCATION = container_location("third", 7008).completed(
    {"image": "sha256:0", "uid": "999:998", "dataMount": "/var/lib/third", "filesVolume": "third_files"},
    placeholders=placeholders(7007, "/var/lib/third/18"),
)
PARTS = ContainerLocation.of(LOCATION)


def test_the_parts_that_a_location_names() -> None:
    assert (PARTS.container, PARTS.image) == ("third-circlepay", "sha256:0")
    assert (PARTS.data_volume, PARTS.files_volume) == ("third_data", "third_files")
    assert (PARTS.data, PARTS.data_mount) == ("/var/lib/third/18", "/var/lib/third")
    assert PARTS.labels == ownership.labels("0123456789", "test", "/nowhere")


def test_the_user_in_numbers() -> None:
    assert PARTS.owner == User(999, 998)
    assert str(PARTS.owner) == PARTS.user
    with pytest.raises(ValueError, match="postgres"):
        User.parse("postgres")


def test_placeholders_stand_for_places_inside() -> None:
    spec, inside = container_product.spec(), LOCATION.placeholders
    assert argv(spec, spec.start, inside) == ["redis-server", "/etc/circlepay/config/third.conf"]
    assert argv(spec, ("sh", "{data}", "{host}:{port}"), inside) == ["sh", "/var/lib/third/18", "0.0.0.0:7007"]
