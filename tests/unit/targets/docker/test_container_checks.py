"""The verification on real containers: green when all is well, and the right checks red for each broken promise."""

from __future__ import annotations

import copy
import dataclasses
import inspect as python
import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.targets.docker.checks import test_containers as checks
from infra.targets.docker.checks.container import Container, ContainerBackend, inspect
from infra.verification.checks.expectation import MismatchError
from infra.verification.report import Report
from infra.verification.runner import run
from infra.verification.secret_scanner import find_in_text
from infra.verification.subject import Subject
from tests.support.containers import ContainerStack, container_stack
from tests.support.verification_breakage import Breakage
from tests.support.verification_container_breakages import DESCRIBED, INSIDE, UNLIKE, Described
from tests.support.verification_runs import Runs

BREAKAGES = [*UNLIKE, *INSIDE]


@pytest.fixture(scope="module")
def live() -> Iterator[ContainerStack]:
    with container_stack() as made:
        yield made


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    made = Runs()
    yield made
    made.close()


def failed(report: Report) -> set[str]:
    return {failure.check for failure in report.failures}


def test_a_stack_in_containers_passes(live: ContainerStack) -> None:
    report = run(live.subject)
    assert report.failures == []
    asked = {check.group for check in report.checks}
    assert {"containers", "processes", "addresses", "files", "schema", "redis"} <= asked
    assert find_in_text(json.dumps(report.as_dict()), live.subject.secrets()) == []


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_a_broken_promise_is_seen(live: ContainerStack, runs: Runs, breakage: Breakage) -> None:
    breakage.do(live)
    try:
        report = runs.run(live.subject)
    finally:
        breakage.undo(live)
    assert failed(report) == breakage.fails
    assert all("\nobserved: " in failure.message and "\n-> " in failure.message for failure in report.failures)
    assert find_in_text(json.dumps(report.as_dict()), live.subject.secrets()) == []


def test_everything_broken_was_put_right(live: ContainerStack, runs: Runs) -> None:
    assert failed(runs.run(live.subject)) == set()


def test_one_server_that_is_down_leaves_the_other_looked_at(live: ContainerStack, runs: Runs) -> None:
    name = live.plans["redis"].name
    live.api.stop(name, timeout=5)
    try:
        report = runs.run(live.subject)
    finally:
        live.again("redis")
    down = failed(report)
    assert {"redis: port", "processes: program redis", "containers: no capability in force redis"} <= down
    assert [check for check in down if "postgres" in check] == []


def test_a_container_that_is_gone_is_a_failure(live: ContainerStack, runs: Runs) -> None:
    """Somebody else's server on its port does not pass for it."""
    redis = dataclasses.replace(
        live.subject.redis, location=live.subject.redis.location.completed({"container": f"{live.network}-nobody"})
    )
    report = runs.run(dataclasses.replace(live.subject, redis=redis))
    assert {"processes: program redis", "containers: user redis", "files: folder exists redis"} <= failed(report)
    assert "redis: port" not in failed(report)
    assert any("o such container" in failure.message for failure in report.failures)


def test_another_declaration_of_limits(live: ContainerStack, runs: Runs) -> None:
    redis = dataclasses.replace(
        live.subject.redis,
        location=dataclasses.replace(live.subject.redis.location, limits={"memory": 1, "nanoCpus": 0}),
    )
    report = runs.run(dataclasses.replace(live.subject, redis=redis))
    assert failed(report) == {f"containers: limit redis-{name}" for name in ("memory", "nanoCpus", "pids")}


# Descriptions ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(live: ContainerStack) -> Container:
    """Redis's container as it should be, its mounts in the order of their paths."""
    live.until("redis", "healthy")
    found = inspect(live.subject.redis.location)
    found.about["Mounts"].sort(key=lambda mount: mount["Destination"])
    return found


def failing(container: Container, subject: Subject) -> set[str]:
    """Checks that do not pass on a description; those that look at the process itself are left out."""
    given = {"container": container, "subject": subject, "server": "redis", "request": None}
    found = set()
    for name, check in vars(checks).items():
        if name.startswith("test_") and "machine" not in python.signature(check).parameters:
            for case in _cases(check):
                values = {**given, **case}
                try:
                    check(**{each: values[each] for each in python.signature(check).parameters})
                except MismatchError:
                    found.add(" ".join([name.removeprefix("test_").replace("_", " "), *case.values()]))
    return found


def _cases(check: Any) -> list[dict[str, str]]:
    marks = [mark for mark in getattr(check, "pytestmark", ()) if mark.name == "parametrize"]
    return [{mark.args[0]: value} for mark in marks for value in mark.args[1]] or [{}]


def altered(container: Container, changes: dict[str, Any]) -> Container:
    about = copy.deepcopy(container.about)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = about
        for parent in parents:
            place = place[int(parent)] if parent.isdigit() else place[parent]
        place[last] = value
    return dataclasses.replace(container, about=about)


def test_a_sound_description_passes(sound: Container, live: ContainerStack) -> None:
    assert failing(sound, live.subject) == set()


@pytest.mark.parametrize("case", DESCRIBED, ids=lambda case: case.name)
def test_an_altered_description_is_seen(sound: Container, live: ContainerStack, case: Described) -> None:
    assert failing(altered(sound, case.about), live.subject) == case.fails


@pytest.mark.parametrize("which", ["volumes", "networks"])
def test_a_volume_or_network_that_is_something_else_is_seen(sound: Container, live: ContainerStack, which: str) -> None:
    """A volume that is a folder of the machine; the engine's default network under another name."""
    options, check = {
        "volumes": ({"o": "bind", "device": "/srv/data"}, "only named volumes"),
        "networks": ({"com.docker.network.bridge.default_bridge": "true"}, "own network"),
    }[which]
    facts: Any = {name: {**each, "Options": options} for name, each in getattr(sound, which).items()}
    assert failing(dataclasses.replace(sound, **{which: facts}), live.subject) == {check}


def test_a_container_without_a_network_is_seen(sound: Container, live: ContainerStack) -> None:
    assert failing(dataclasses.replace(sound, networks={}), live.subject) == {"own network"}


def test_every_check_of_containers_was_broken() -> None:
    named = {fail.removeprefix("containers: ") for breakage in BREAKAGES for fail in breakage.fails}
    named |= {fail for case in DESCRIBED for fail in case.fails}
    words = [name.removeprefix("test_").replace("_", " ") for name in vars(checks) if name.startswith("test_")]
    assert [check for check in words if not any(name.startswith(check) for name in named)] == []
    assert len({breakage.name for breakage in BREAKAGES}) == len(BREAKAGES)
    assert len({case.name for case in DESCRIBED}) == len(DESCRIBED)


# The way in -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["postgres", "redis"])
def test_it_looks_as_the_servers_user_and_never_privileged(live: ContainerStack, server: str) -> None:
    backend = ContainerBackend(live.subject.servers[server].location)
    answer = backend.run("id -un; sed -n %s /proc/self/status; echo 'wörds' >&2; exit 3", "s/^CapEff:[[:space:]]*//p")
    assert (answer.stdout.split(), answer.stderr, answer.rc) == ([server, "0" * 16], "wörds\n", 3)
