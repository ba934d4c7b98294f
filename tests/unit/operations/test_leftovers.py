"""What killed runs left on an engine: found by our label, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.operations import leftovers
from infra.operations.stack import PROJECT_ROOT
from infra.targets.containers import one_shot, ownership
from infra.targets.containers.ownership import CLONE, ROLE, STACK
from infra.targets.placement import clone_id
from tests.support import container_product, engine
from tests.support.placements import wait_until
from tests.unit.operations.conftest import Stage

SPEC = container_product.spec()


@pytest.fixture
def own(stage: Stage) -> leftovers.Mark:
    """What tells this test's things from everybody's."""
    return (f"{CLONE}={stage.site.labels[CLONE]}", f"{STACK}=test")


@pytest.fixture
def bystanders(stage: Stage) -> Iterator[Callable[[], list[str]]]:
    """Things of another stack of the same clone, and of nobody; answers those that are still there."""
    other = {**stage.site.labels, STACK: "other"}
    api, name = stage.api, f"{stage.site.container}-bystander"
    api.create_volume(name, labels=other)
    api.create_network(name, labels=other)
    own = [
        engine.container_of(stage.site.image, name=f"{name}-{number}", labels=labels)
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
    made = one_shot.create(stage.api, stage.site, ("sh", "-c", script), role, name=f"{stage.site.container}-{role}")
    if started:
        stage.api.start(made)
    return f"container {stage.site.container}-{role}"


def _halves(stage: Stage, own: leftovers.Mark) -> list[str]:
    return sorted(leftovers.remove_halves(stage.api, own))


def _format(stage: Stage) -> str:
    """What the data's volume holds of the file that says its format."""
    return one_shot.run(stage.api, stage.site, ("cat", f"{stage.site.data}/FORMAT"), "version")[1]


def test_containers_that_did_one_thing_go_and_volumes_can_go_then(
    stage: Stage, own: leftovers.Mark, bystanders: Callable[[], list[str]]
) -> None:
    there = bystanders()
    assert len(there) == 4
    found = [_one_shot(stage, role, "sleep 300", started=role == "wipe") for role in ("carrier", "version", "wipe")]
    assert _halves(stage, own) == found
    stage.api.remove_volume(stage.site.data_volume)
    assert bystanders() == there


def test_server_that_was_never_started_goes_and_one_that_runs_stays(stage: Stage, own: leftovers.Mark) -> None:
    _one_shot(stage, "server")
    running = stage.api.create_container(
        stage.site.image, entrypoint=["sleep"], command=["300"], labels={**stage.site.labels, ROLE: "server"}
    )["Id"]
    stage.api.start(running)
    assert _halves(stage, own) == [f"container {stage.site.container}-server"]
    stage.api.stop(running, timeout=0)
    assert _halves(stage, own) == []
    assert stage.api.inspect_container(running)["State"]["Status"] == "exited"


@pytest.mark.parametrize("script", ["sleep 300", "exit 3"], ids=["still at it", "failed"])
def test_data_that_is_half_made_goes_with_what_told_so(stage: Stage, own: leftovers.Mark, script: str) -> None:
    stage.prepare(SPEC)
    assert _format(stage) == "7\n"
    name = _one_shot(stage, "initialize", script, started=True)
    if script.startswith("exit"):
        wait_until(lambda: stage.api.inspect_container(name.split()[1])["State"]["Status"] == "exited", seconds=20)
    assert _halves(stage, own) == [name, f"what was begun on volume {stage.site.data_volume}"]
    assert "No such file" in _format(stage)
    assert stage.api.inspect_volume(stage.site.data_volume)
    stage.prepare(SPEC)
    assert _format(stage) == "7\n"


def test_data_that_is_whole_stays(stage: Stage, own: leftovers.Mark) -> None:
    stage.prepare(SPEC)
    name = _one_shot(stage, "initialize", started=True)
    wait_until(lambda: stage.api.inspect_container(name.split()[1])["State"]["Status"] == "exited", seconds=20)
    assert _halves(stage, own) == [name]
    assert _format(stage) == "7\n"


def test_data_on_somebody_elses_volume_is_not_emptied(stage: Stage, own: leftovers.Mark) -> None:
    stage.prepare(SPEC)
    labels = {**stage.site.labels, ROLE: "initialize"}
    binds = [f"{stage.site.data_volume}:/data", f"{stage.site.files_volume}:/etc/circlepay"]
    stage.api.create_container(
        stage.site.image,
        ["true"],
        labels={**labels, STACK: "other"},
        host_config=stage.api.create_host_config(binds=binds),
    )
    assert len(_halves(stage, (own[0], f"{STACK}=other"))) == 1
    assert _format(stage) == "7\n"


def test_all_of_a_stack_goes_and_nothing_else(
    stage: Stage, own: leftovers.Mark, bystanders: Callable[[], list[str]]
) -> None:
    stage.up(SPEC)
    there, listed = bystanders(), sorted(leftovers.names(stage.api, own))
    site = stage.site
    assert listed == sorted(
        [
            f"container {site.container}",
            f"network {stage.network}",
            f"volume {site.data_volume}",
            f"volume {site.files_volume}",
        ]
    )
    assert sorted(leftovers.remove_all(stage.api, own)) == listed
    assert list(leftovers.names(stage.api, own)) == []
    assert bystanders() == there


def test_mark_is_that_of_the_target() -> None:
    labels = ownership.labels(clone_id(PROJECT_ROOT), "dev", "/")
    assert leftovers.mark("dev") == tuple(f"{label}={labels[label]}" for label in (CLONE, STACK))
    assert leftovers.mark() == leftovers.mark("dev")[:1]


@pytest.mark.parametrize(("what", "code"), [("halves", 1), ("stack", 1), ("list", 0)])
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
    assert leftovers.usual_engine() == []


def test_it_says_what_it_removed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own: Any = (f"{CLONE}={stage.site.labels[CLONE]}",)
    monkeypatch.setattr(leftovers, "mark", lambda stack="": own)
    assert leftovers.main(["stack", "test", leftovers.usual_engine()[0]]) == 0
    told = capsys.readouterr()
    assert f"circlepay: removed volume {stage.site.data_volume}\n" in told.err
    assert told.out == ""
