"""A restart of a server in a container keeps container, data and password, and ends in a server that answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from infra.errors import TargetError
from infra.operations import restart, status
from infra.operations.stack import StackView
from tests.support import container_product, engine
from tests.unit.operations.conftest import PulumiState, Stage, container_outputs, server_resource

SPEC = container_product.spec()


@pytest.fixture
def view(stage: Stage, pulumi_state: PulumiState) -> StackView:
    """A stack that is up, its only server in a container."""
    stage.up(SPEC)
    outputs = container_outputs(stage)
    outputs["redis"]["location"]["projectRoot"] = str(pulumi_state.project)
    pulumi_state.add_stack("test", outputs, [server_resource("redis", SPEC, stage.location)])
    return StackView("test", pulumi_state.project, outputs)


def _restart(view: StackView) -> list[str]:
    told: list[str] = []
    version = restart.run(view, "redis", progress=told.append)
    assert version.startswith(("7.", "8."))
    return told


@contextmanager
def _client(stage: Stage) -> Iterator[redis.Redis]:
    with redis.Redis(port=stage.location.port, password=stage.secrets["password"]) as client:
        yield client


def _state(stage: Stage) -> dict[str, Any]:
    return dict(stage.api.inspect_container(stage.parts.container))


def test_restart_keeps_container_data_and_password(stage: Stage, view: StackView) -> None:
    before = _state(stage)
    with _client(stage) as client:
        client.set("kept", "1")
        client.config_set("save", "900 1")  # or nothing is written at the end
    assert [told.partition(" ")[0] for told in _restart(view)] == ["stopping", "starting"]
    after = _state(stage)
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] != before["State"]["StartedAt"]
    assert after["RestartCount"] == 0
    with _client(stage) as client:
        assert client.get("kept") == b"1"


def test_restart_without_a_container_says_what_to_type(stage: Stage, view: StackView) -> None:
    stage.api.remove_container(stage.parts.container, force=True)
    with pytest.raises(TargetError, match=r"no container of this name\n.*make up"):
        _restart(view)


def test_somebody_elses_container_is_left_alone(stage: Stage, view: StackView) -> None:
    name = stage.parts.container
    stage.api.remove_container(name, force=True)
    with engine.container_of(stage.parts.image, name=name) as foreign:
        with pytest.raises(TargetError, match="it belongs to another owner"):
            _restart(view)
        assert stage.api.inspect_container(foreign)["State"]["Status"] == "created"


@pytest.mark.parametrize("by_hand", ["pause", "kill"])
def test_restart_starts_what_does_not_run(stage: Stage, view: StackView, by_hand: str) -> None:
    getattr(stage.api, by_hand)(stage.parts.container)
    _restart(view)
    assert status.server_status(view, "redis").authenticating


def test_restart_takes_the_settings_of_the_last_up(stage: Stage, view: StackView, pulumi_state: PulumiState) -> None:
    pulumi_state.pulumi("stack", "rm", "--yes", "--force", "test")
    other = container_product.spec(databases=3)
    pulumi_state.add_stack("test", container_outputs(stage), [server_resource("redis", other, stage.location)])
    _restart(view)
    with _client(stage) as client:
        assert client.config_get("databases") == {"databases": "3"}
