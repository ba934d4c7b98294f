"""A server's place on an engine as plain data."""

from __future__ import annotations

import json

import pytest

from infra.targets.containers.site import Site, User, argv
from tests.support import container_product

SITE = Site("third", "sha256:0", "999:998", "third_data", "/var/lib/third", "/var/lib/third/18", "third_files", 7007)


def test_it_survives_the_engines_json() -> None:
    shown = json.loads(json.dumps({**SITE.to_json(), "port": 7007.0}))
    assert Site.from_json(shown) == SITE


def test_the_user_in_numbers() -> None:
    assert SITE.owner == User(999, 998)
    assert str(SITE.owner) == SITE.user
    with pytest.raises(ValueError, match="postgres"):
        User.parse("postgres")


def test_placeholders_stand_for_places_inside() -> None:
    spec = container_product.spec()
    assert argv(spec, spec.start, SITE.places) == ["redis-server", "/etc/circlepay/config/third.conf"]
    assert argv(spec, ("sh", "{data}", "{host}:{port}"), SITE.places) == ["sh", "/var/lib/third/18", "0.0.0.0:7007"]
