"""A changed setting of a stack in containers: previewed, as small as it can be, and data survives it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.contract.containers import DECLARED, MEBIBYTE, changes_nothing, container, host_of, kept, limits_of
from tests.images import references as test_images
from tests.support import engine
from tests.support.clones import Clone
from tests.support.engine import client
from tests.support.live import LiveStack
from tests.support.quiet_ports import quiet_port

pytestmark = pytest.mark.only_on_docker
DOWNSTREAM = {"verification", "env-file"}
"""Resources that take up every change: it is verified, and what the application reads is published again."""


def previewed(clone: Clone) -> dict[str, str]:
    """Name of each resource that an `up` would touch -> update, replace, create or delete."""
    text = clone.pulumi("preview", "--json", "--stack", clone.stack).expect().output
    steps = json.loads(text[text.index("{") :])["steps"]
    wanted = {"update", "replace", "create", "delete"}
    return {step["urn"].rpartition("::")[2]: step["op"] for step in steps if step["op"] in wanted}


@contextmanager
def changed(live: LiveStack, section: str, **settings: Any) -> Iterator[dict[str, str]]:
    """The stack with other settings, applied, and its data kept; what the preview said before. As it was afterwards."""
    own = dict(live.clone.config.get(f"circlepay:{section}", {}))
    try:
        with kept(live):
            live.clone.configure(**{section: {**own, **settings}})
            steps = previewed(live.clone)
            live.clone.up().expect()
        yield steps
    finally:
        live.clone.configure(**{section: own})
        live.clone.up().expect()


def test_another_tag_makes_one_container_anew(live: LiveStack) -> None:
    before, own = live.identities(), live.clone.config["circlepay:docker"]["redisImage"]
    with derived_image(own) as (reference, image_id), changed(live, "docker", redisImage=reference) as steps:
        assert steps.pop("redis-container") == "replace"
        assert "replace" not in {name: op for name, op in steps.items() if name != "redis-image"}.values()
        assert {name for name in steps if name.startswith("postgres")} == set()
        assert container(live, "redis").facts["Image"] == image_id
        assert live.identities()["postgres"] == before["postgres"]


@contextmanager
def derived_image(reference: str) -> Iterator[tuple[str, str]]:
    """Another image that does the same: reference and id."""
    repository = f"circlepay-test-{os.getpid()}"
    with engine.container_of(reference) as made:
        image_id = str(client().commit(made, repository, "derived", changes="LABEL derived=yes")["Id"])
    try:
        yield f"{repository}:derived", image_id
    finally:
        client().remove_image(image_id, force=True)


def test_another_port_makes_one_container_anew(live: LiveStack) -> None:
    """And stays when it is asked for no more: a port is kept until another one is asked for."""
    before, port = live.identities(), quiet_port()
    try:
        with changed(live, "redis", port=port) as steps:
            assert steps["redis-container"] == "replace"
            assert [name for name, op in steps.items() if op != "update"] == ["redis-container"]
            assert {name for name in steps if name.startswith("postgres")} == set()
            assert container(live, "redis").listening == {("127.0.0.1", port)}
            assert f":{port}/" in live.env_path.read_text()
            assert live.identities()["postgres"] == before["postgres"]
    finally:
        live.read_again()
    assert int(live.outputs["redis"]["port"]) == port


def test_another_limit_restarts_nothing(live: LiveStack) -> None:
    before = live.identities()
    with changed(live, "docker", redisMemory=1100, redisPids=100, redisCpus=1.5) as steps:
        assert set(steps) == {"redis", "redis-parameters"} | DOWNSTREAM
        assert set(steps.values()) == {"update"}
        host = host_of(container(live, "redis"))
        assert (host["Memory"], host["PidsLimit"], host["NanoCpus"]) == (1100 * MEBIBYTE, 100, 1_500_000_000)
        assert live.identities() == before
    assert limits_of(container(live, "redis")) == DECLARED["redis"]


def test_no_limit_at_all_takes_another_container(live: LiveStack) -> None:
    """The engine takes a limit of memory or processors away from no container."""
    before = live.identities()
    with changed(live, "docker", redisMemory=0, redisPids=0) as steps:
        assert steps.pop("redis-container") == "replace"
        assert set(steps.values()) == {"update"}
        host = host_of(container(live, "redis"))
        assert (host["Memory"], host["PidsLimit"] or 0, host["NanoCpus"]) == (0, 0, 0)
        assert live.identities()["postgres"] == before["postgres"]
        changes_nothing(live.clone)
    assert limits_of(container(live, "redis")) == DECLARED["redis"]


def test_a_live_setting_is_written_and_nothing_else(live: LiveStack) -> None:
    before = live.identities()
    with changed(live, "redis", maxmemory="200mb") as steps:
        assert set(steps) == {"redis", "redis-parameters"} | DOWNSTREAM
        assert set(steps.values()) == {"update"}
        assert live.identities() == before


def test_a_setting_that_needs_a_restart_keeps_the_container(live: LiveStack) -> None:
    before = live.identities()
    with changed(live, "postgres", maxConnections=70) as steps:
        assert "replace" not in steps.values()
        after = live.identities()
        assert after["redis"] == before["redis"]
        assert after["postgres"] != before["postgres"]
        assert after["postgres"].split()[0] == before["postgres"].split()[0], "the container is another one"


def test_another_major_version_on_this_data_is_refused(live: LiveStack) -> None:
    own = dict(live.clone.config["circlepay:docker"])
    before, major = live.identities(), 15 if own["postgresImage"].endswith("17") else 17
    with kept(live):
        try:
            live.clone.configure(docker={**own, "postgresImage": test_images.reference("postgres", major)})
            refused = live.clone.up()
            assert refused.code != 0
            assert "made by version" in refused.output
            assert "circlepay:docker.postgresImage" in refused.output
            assert "Traceback" not in refused.output
            assert live.identities() == before, "both servers run on"
        finally:
            live.clone.configure(docker=own)
            live.clone.up().expect()
    changes_nothing(live.clone)
