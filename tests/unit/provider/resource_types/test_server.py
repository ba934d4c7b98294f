"""The server's resource on a real place: what the state knows and the place does not."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from infra.endpoint import Endpoint
from infra.errors import TargetError
from infra.provider.handler import Operation
from infra.provider.resource_types.server import Server
from infra.pulumi_marks import UNKNOWN
from infra.targets.clones import clone_id
from infra.targets.processes.placement import Placement
from infra.targets.spec import ServerSpec
from tests.support import dummy_product
from tests.support.dummy_product import SECRETS
from tests.support.placements import PROJECT, Stage, staged
from tests.support.quiet_ports import quiet_port

OPERATION = Operation(threading.Event(), lambda _: None, lambda _: None)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made


def declared(stage: Stage, spec: ServerSpec, place: Placement) -> dict[str, Any]:
    """The inputs of the server's resource."""
    location = stage.server(place, spec, SECRETS).machine.location
    parts = {"spec": spec.to_json(), "location": location.to_json(), "secrets": SECRETS}
    return {**parts, "instance": "", "upstream": []}


def test_a_change_that_cannot_start_leaves_the_server_running_at_its_former_address(stage: Stage) -> None:
    spec, clone = dummy_product.spec(), clone_id(PROJECT)
    place = stage.place(spec, clone=clone)
    inputs = declared(stage, spec, place)
    stage.apply(place, spec, SECRETS)
    state = {**inputs, "running": True, "version": "3.2", "programs": ""}
    changed = dummy_product.spec("changed", extra="crash\n")
    moved = stage.place(changed, clone=clone, port=quiet_port())
    with pytest.raises(TargetError, match="it exited immediately") as caught:
        Server().converge(declared(stage, changed, moved), state, OPERATION)
    assert caught.value.cause.endswith("dummy runs again as it was before this change")
    assert dummy_product.ask(Endpoint(place.host, place.port), SECRETS["password"]).split()[2] == "hello"
    back = stage.place(spec, clone=clone, port=place.port)
    assert Server().plan(declared(stage, spec, back), state, OPERATION) == []


def test_data_that_is_gone_is_refused_before_it_begins_empty(stage: Stage) -> None:
    spec = dummy_product.spec()
    place = stage.place(spec, clone=clone_id(PROJECT))
    inputs = declared(stage, spec, place)
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
