"""What killed runs left on an engine: found by our label, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.operations import leftovers
from infra.paths import PROJECT_ROOT
from infra.targets.clones import clone_id
from infra.targets.docker import one_shot, ownership, unrecorded
from infra.targets.docker.ownership import CLONE, ROLE, STACK
from tests.support import container_product, engine
from tests.support.placements import wait_until
from tests.unit.targets.docker.conftest import Stage

SPEC = container_product.spec()


@pytest.fixture
def own(stage: Stage) -> unrecorded.Mark:
    """What tells this test's things from everybody's."""
    return (f"{CLONE}={stage.parts.labels[CLONE]}", f"{STACK}=test")


@pytest.fixture
def bystanders(stage: Stage) -> Iterator[Callable[[], list[str]]]:
    """Things of another stack of the same clone, and of nobody; answers those that are still there."""
    other = {**stage.parts.labels, STACK: "other"}
    api, name = stage.api, f"{stage.parts.container}-bystander"
    api.create_volume(name, labels=other)
    api.create_network(name, labels=other)
    own = [
        engine.container_of(stage.parts.image, name=f"{name}-{number}", labels=labels)
        for number, labels in enumerate([other, {}])
    ]
    with own[0], own[1]:
        yield lambda: [
            *(each["Names"][0] for each in api.containers(all=True, filters={"name": name})),
            *(each["Name"] for each in api.volumes(filters={"name": name})["Volumes"]),
            *(each["Name"] for each in api.networks(names=[name])),
        ]
    engine.remove(f"volume {name}")
    engine.remove(f"network {name}")


def _one_shot(stage: Stage, role: str, script: str = "true", *, started: bool = False) -> str:
    made = one_shot.create(stage.api, stage.parts, ("sh", "-c", script), role, name=f"{stage.parts.container}-{role}")
    if started:
        stage.api.start(made)
    return f"container {stage.parts.container}-{role}"


def _unfinished(stage: Stage, own: unrecorded.Mark) -> list[str]:
    return sorted(unrecorded.remove_unfinished(stage.api, own))


def _format(stage: Stage) -> str:
    """What the data's volume holds of the file that says its format."""
    return one_shot.run(stage.api, stage.parts, ("cat", f"{stage.parts.data}/FORMAT"), "version")[1]


def test_containers_that_did_one_thing_go_and_volumes_can_go_then(
    stage: Stage, own: unrecorded.Mark, bystanders: Callable[[], list[str]]
) -> None:
    there = bystanders()
    assert len(there) == 4
    found = [_one_shot(stage, role, "sleep 300", started=role == "wipe") for role in ("carrier", "version", "wipe")]
    assert _unfinished(stage, own) == found
    stage.api.remove_volume(stage.parts.data_volume)
    assert bystanders() == there


def test_server_that_was_never_started_goes_and_one_that_runs_stays(stage: Stage, own: unrecorded.Mark) -> None:
    _one_shot(stage, "server")
    running = stage.api.create_container(
        stage.parts.image, entrypoint=["sleep"], command=["300"], labels={**stage.parts.labels, ROLE: "server"}
    )["Id"]
    stage.api.start(running)
    assert _unfinished(stage, own) == [f"container {stage.parts.container}-server"]
    stage.api.stop(running, timeout=0)
    assert _unfinished(stage, own) == []
    assert stage.api.inspect_container(running)["State"]["Status"] == "exited"


@pytest.mark.parametrize("script", ["sleep 300", "exit 3"], ids=["still at it", "failed"])
def test_data_that_is_half_made_goes_with_what_told_so(stage: Stage, own: unrecorded.Mark, script: str) -> None:
    stage.initialize(SPEC)
    assert _format(stage) == "7\n"
    name = _one_shot(stage, "initialize", script, started=True)
    if script.startswith("exit"):
        wait_until(lambda: stage.api.inspect_container(name.split()[1])["State"]["Status"] == "exited", seconds=20)
    assert _unfinished(stage, own) == [name, f"unfinished data on volume {stage.parts.data_volume}"]
    assert "No such file" in _format(stage)
    assert stage.api.inspect_volume(stage.parts.data_volume)
    stage.initialize(SPEC)
    assert _format(stage) == "7\n"


def test_data_that_is_whole_stays(stage: Stage, own: unrecorded.Mark) -> None:
    stage.initialize(SPEC)
    name = _one_shot(stage, "initialize", started=True)
    wait_until(lambda: stage.api.inspect_container(name.split()[1])["State"]["Status"] == "exited", seconds=20)
    assert _unfinished(stage, own) == [name]
    assert _format(stage) == "7\n"


def test_data_on_somebody_elses_volume_is_not_emptied(stage: Stage, own: unrecorded.Mark) -> None:
    stage.initialize(SPEC)
    labels = {**stage.parts.labels, ROLE: "initialize"}
    binds = [f"{stage.parts.data_volume}:/data", f"{stage.parts.files_volume}:/etc/circlepay"]
    stage.api.create_container(
        stage.parts.image,
        ["true"],
        labels={**labels, STACK: "other"},
        host_config=stage.api.create_host_config(binds=binds),
    )
    assert len(_unfinished(stage, (own[0], f"{STACK}=other"))) == 1
    assert _format(stage) == "7\n"


def test_all_of_a_stack_goes_and_nothing_else(
    stage: Stage, own: unrecorded.Mark, bystanders: Callable[[], list[str]]
) -> None:
    stage.up(SPEC)
    there, listed = bystanders(), sorted(unrecorded.names(stage.api, own))
    parts = stage.parts
    assert listed == sorted(
        [
            f"container {parts.container}",
            f"network {stage.network}",
            f"volume {parts.data_volume}",
            f"volume {parts.files_volume}",
        ]
    )
    assert sorted(unrecorded.remove_all(stage.api, own)) == listed
    assert list(unrecorded.names(stage.api, own)) == []
    assert bystanders() == there


def test_mark_is_that_of_the_target() -> None:
    labels = ownership.labels(clone_id(PROJECT_ROOT), "dev", "/")
    assert unrecorded.mark("dev") == tuple(f"{label}={labels[label]}" for label in (CLONE, STACK))
    assert unrecorded.mark() == unrecorded.mark("dev")[:1]


@pytest.mark.parametrize(("what", "code"), [("unfinished", 1), ("stack", 1), ("list", 0)])
def test_an_engine_that_is_absent_stops_everything_but_a_list(
    what: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent-either.sock")
    rest = [] if what == "list" else ["a-stack-of-nobody"]
    assert leftovers.main([what, *rest, "unix:///nonexistent.sock"]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert ("no container engine" in told.err) is (code == 1)


def test_nobody_has_to_have_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    assert unrecorded.usual_engine() == []


def test_it_says_what_it_removed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own: Any = (f"{CLONE}={stage.parts.labels[CLONE]}",)
    monkeypatch.setattr(unrecorded, "mark", lambda stack="": own)
    assert leftovers.main(["stack", "test", unrecorded.usual_engine()[0]]) == 0
    told = capsys.readouterr()
    assert f"circlepay: removed volume {stage.parts.data_volume}\n" in told.err
    assert told.out == ""
