"""The server's resource on a real place: what the state knows and the place does not."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from infra.errors import TargetError
from infra.provider.handler import Operation
from infra.provider.resource_types.server import Server
from infra.pulumi_marks import UNKNOWN
from infra.targets.clones import clone_id
from tests.support import dummy_product
from tests.support.dummy_product import SECRETS
from tests.support.placements import PROJECT, Stage, staged

OPERATION = Operation(threading.Event(), lambda _: None, lambda _: None)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made


def test_data_that_is_gone_is_refused_before_it_begins_empty(stage: Stage) -> None:
    spec = dummy_product.spec()
    place = stage.place(spec, clone=clone_id(PROJECT))
    location = stage.server(place, spec, SECRETS).machine.location
    inputs: dict[str, Any] = {
        "spec": spec.to_json(),
        "location": location.to_json(),
        "instance": "",
        "secrets": SECRETS,
        "upstream": [],
    }
    stage.apply(place, spec, SECRETS)
    state = {**inputs, "running": True, "version": "3.2", "programs": ""}
    server = Server()
    assert server.plan(inputs, state, OPERATION) == []
    stage.stop(place, spec)
    shutil.rmtree(place.sub("data"))
    for act in (server.plan, server.converge):
        with pytest.raises(TargetError, match="its data is gone") as caught:
            act(inputs, state, OPERATION)
        assert "DATA=delete" in caught.value.hint
    assert not place.sub("data").exists()
    observed = server.observe(state, OPERATION)
    assert observed is not None
    assert not observed.outputs["running"]
    assert [change.action for change in server.plan(inputs, None, OPERATION)] == ["create", "start"]
    shutil.rmtree(place.folder)
    observed = server.observe(state, OPERATION)
    assert observed is not None, "what the state knows must not be forgotten by a refresh"
    for place_now in (inputs["location"], UNKNOWN):
        with pytest.raises(TargetError, match="its data is gone"):
            server.plan({**inputs, "location": place_now}, state, OPERATION)
