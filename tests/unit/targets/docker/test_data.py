"""Data on a volume, initialised in a container of its own, on the engine of this machine."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from infra.errors import TargetError
from infra.targets.docker import one_shot, ownership
from infra.targets.machine import DataKind
from tests.support import container_product
from tests.support.container_places import make_container
from tests.support.server_verbs import actions
from tests.unit.targets.docker.conftest import Stage

SPEC = container_product.spec()
INITIALIZER = "{}-initialize"


def test_an_initialisation_that_never_started_is_begun_anew(stage: Stage) -> None:
    make_container(stage.location, SPEC)
    one_shot.create(stage.api, stage.parts, ("true",), "initialize", name=INITIALIZER.format(stage.parts.container))
    assert stage.machine(SPEC).data() is DataKind.UNFINISHED
    assert ("create", "data of third") in actions(stage.apply(SPEC))
    assert stage.machine(SPEC).data() is DataKind.PRESENT


def test_an_initialisation_given_up_that_made_whole_data_leaves_it(stage: Stage) -> None:
    stop = threading.Event()
    stop.set()
    with suppress(TargetError):
        stage.initialize(SPEC, stop)
    name = INITIALIZER.format(stage.parts.container)
    if ownership.inspected(stage.api, name) is None:
        one_shot.create(stage.api, stage.parts, ("true",), "initialize", name=name)
        stage.api.start(name)
    stage.api.wait(name)
    for _ in range(2):
        stage.stop(SPEC)
        assert stage.machine(SPEC).data() is DataKind.PRESENT


def test_data_of_another_version_is_refused_with_the_way_out(stage: Stage) -> None:
    stage.initialize(container_product.spec(initialize="echo 6 >{data}/FORMAT"))
    with pytest.raises(TargetError, match="made by version 6, this image is version 7") as caught:
        stage.up(SPEC)
    assert "circlepay:docker.thirdImage" in caught.value.hint
    assert "dump" in caught.value.hint
    assert "circlepay logs --server third" in stage.machine(SPEC).titles.log_hint


def test_a_full_disk_is_told_by_its_own_words_and_leaves_no_half_made_data(stage: Stage) -> None:
    small = f"{stage.parts.data_volume}-small"
    stage.api.create_volume(
        small, driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, labels=stage.parts.labels
    )
    names = {**stage.location.names, "dataVolume": small}
    full = replace(stage, location=replace(stage.location, names=names))
    large = container_product.spec(initialize="head -c 4000000 /dev/zero >{data}/FORMAT")
    make_container(full.location, large)
    with pytest.raises(TargetError, match="No space left on device") as caught:
        full.apply(large)
    assert "free disk space" in caught.value.hint
    assert full.machine(SPEC).data() is DataKind.ABSENT
