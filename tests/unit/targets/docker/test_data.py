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
from tests.unit.targets.docker.conftest import Stage

SPEC = container_product.spec()
INITIALIZER = "{}-initialize"


@pytest.mark.parametrize("started", [False, True])
def test_an_initialisation_that_was_killed_is_finished_or_begun_anew(stage: Stage, started: bool) -> None:
    slow = container_product.spec(initialize="echo half >{data}/HALF; sleep 1; echo 7 >{data}/FORMAT")
    make_container(stage.location, slow)
    stop = threading.Event()
    stop.set()
    if started:
        with pytest.raises(TargetError, match="cancelled"):
            stage.initialize(slow, stop)
    else:
        name = INITIALIZER.format(stage.parts.container)
        one_shot.create(stage.api, stage.parts, ("true",), "initialize", name=name)
    assert stage.machine(slow).data() is DataKind.UNFINISHED
    assert ("create", "data of third") in [(each.action, each.subject) for each in stage.apply(slow)]
    assert stage.machine(slow).data() is DataKind.PRESENT


@pytest.mark.parametrize("whole", [False, True])
def test_an_initialisation_given_up_leaves_whole_data_or_none(stage: Stage, whole: bool) -> None:
    slow = container_product.spec(initialize="echo 7 >{data}/FORMAT; sleep " + ("0" if whole else "60"))
    stop = threading.Event()
    stop.set()
    with suppress(TargetError):
        stage.initialize(slow, stop)
    if whole:
        name = INITIALIZER.format(stage.parts.container)
        if ownership.inspected(stage.api, name) is None:
            one_shot.create(stage.api, stage.parts, ("true",), "initialize", name=name)
            stage.api.start(name)
        stage.api.wait(name)
    for _ in range(2):
        stage.stop(slow)
        assert stage.machine(slow).data() is (DataKind.PRESENT if whole else DataKind.ABSENT)


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
