"""What a person is told of Pulumi's events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.operations.preview import STATE_ONLY
from infra.operations.progress import ProgressReporter
from tests.support.locations import location_outputs, process_location

URN = "urn:pulumi:local::circlepay::circlepay:index:"


def step_event(kind: str, operation: str, resource: str, name: str, **more: Any) -> dict[str, Any]:
    metadata = {"op": operation, "urn": f"{URN}{resource}::{name}", "type": f"circlepay:index:{resource}", **more}
    return {kind: {"metadata": metadata}}


def diagnostic_event(message: str, severity: str = "info", **more: Any) -> dict[str, Any]:
    return {"diagnosticEvent": {"message": f"{message}\n", "severity": severity, **more}}


def _told(*events: dict[str, Any]) -> list[str]:
    reporter = ProgressReporter()
    return [line for event in events for line in reporter.lines_for(event)]


def test_looking_is_told_once() -> None:
    looks = [step_event("resourcePreEvent", "refresh", "Server", name) for name in ("postgres", "redis")]
    assert _told(*looks) == ["looking at what is there"]


@pytest.mark.parametrize("operation", sorted(STATE_ONLY))
def test_what_changes_nothing_is_not_told(operation: str) -> None:
    done: dict[str, Any] = {"outputs": {"changes": [{}]}}
    assert _told(step_event("resOutputsEvent", operation, "Server", "redis", new=done)) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [([], []), (None, []), ([{}], ["redis: 1 change"]), ([{}, {}], ["redis: 2 changes"])],
)
def test_changes_are_counted_and_the_summary_names_them(changes: object, told: list[str]) -> None:
    new = {"outputs": {"changes": changes}}
    assert _told(step_event("resOutputsEvent", "update", "Server", "redis", new=new)) == told


def test_what_was_told_by_name_is_not_counted_too() -> None:
    said = diagnostic_event(
        "create role x — does not exist [no lock; live; reversible]", ephemeral=True, urn=f"{URN}Access::access"
    )
    done = step_event("resOutputsEvent", "create", "Access", "access", new={"outputs": {"changes": [{}]}})
    assert _told(said, done) == ["create role x"]


def test_a_deletion_is_told_of_data_only() -> None:
    old = {"outputs": location_outputs(process_location("redis", Path("/srv/redis"), 1))}
    kinds = ("Database", "EnvFile", "Server")
    assert _told(*(step_event("resOutputsEvent", "delete", kind, "x", old=old) for kind in kinds)) == []
    assert _told(step_event("resOutputsEvent", "delete", "ServerLocation", "x", old=old)) == ["deleted /srv/redis"]


def test_passing_words_and_warnings_are_told_and_errors_kept_for_the_end() -> None:
    reporter = ProgressReporter()
    events = [
        diagnostic_event("starting redis", ephemeral=True),
        diagnostic_event("start server redis"),
        diagnostic_event("empty", "warning"),
        diagnostic_event("empty", "warning"),
        diagnostic_event("registering", "debug"),
        diagnostic_event("no room", "error"),
        diagnostic_event("no room", "error"),
        {"preludeEvent": {"config": {}}},
    ]
    assert [line for event in events for line in reporter.lines_for(event)] == ["starting redis", "warning: empty"]
    assert reporter.errors == ["no room"]


def test_an_error_that_was_a_warning_when_the_run_looked_is_kept_all_the_same() -> None:
    reporter = ProgressReporter()
    for severity in ("warning", "error"):
        reporter.lines_for(diagnostic_event("0001_baseline.sql: was edited", severity))
    reporter.lines_for(step_event("resOpFailedEvent", "update", "Schema", "schema"))
    assert (reporter.errors, reporter.failed) == (["0001_baseline.sql: was edited"], ["schema"])


def test_what_is_at_work_is_named_until_it_ends() -> None:
    reporter = ProgressReporter()
    assert reporter.in_progress() == "waiting for Pulumi"
    reporter.lines_for(step_event("resourcePreEvent", "create", "Server", "redis"))
    reporter.lines_for(step_event("resourcePreEvent", "create", "Server", "postgres"))
    assert reporter.in_progress() == "postgres, redis"
    reporter.lines_for(step_event("resOutputsEvent", "create", "Server", "redis"))
    reporter.lines_for(step_event("resOpFailedEvent", "create", "Server", "postgres"))
    assert reporter.in_progress() == "waiting for Pulumi"


DOCKER = "docker:index/container:Container"
REDIS = {"inputs": {"name": "redis-circlepay", "user": "1:1"}}


def _container(kind: str, operation: str, **more: Any) -> dict[str, Any]:
    return {
        kind: {"metadata": {"op": operation, "urn": f"urn:pulumi:x::circlepay::{DOCKER}::r", "type": DOCKER, **more}}
    }


def test_a_new_container_is_told_by_its_name() -> None:
    assert _told(_container("resOutputsEvent", "create", new=REDIS)) == ["create container redis-circlepay"]


def test_a_container_that_is_gone_is_told_so() -> None:
    look = _container("resOutputsEvent", "refresh", old=REDIS, new=None)
    assert _told(look, _container("resOutputsEvent", "create", new=REDIS)) == [
        "create container redis-circlepay — is gone"
    ]


def test_a_replaced_container_is_told_once_with_the_properties_that_differ() -> None:
    new = {"inputs": {"name": "redis-circlepay", "user": "2:2"}}
    steps = [
        _container(
            kind, operation, old=REDIS, new=None if operation == "delete-replaced" else new, detailedDiff={"user": {}}
        )
        for operation in ("delete-replaced", "replace", "create-replacement")
        for kind in ("resourcePreEvent", "resOutputsEvent")
    ]
    assert _told(*steps) == ["replace container redis-circlepay — user: 1:1 -> 2:2"]


def test_a_removed_container_and_a_deleted_volume_are_told() -> None:
    removed = _container("resOutputsEvent", "delete", old=REDIS)
    volume = {"type": "docker:index/volume:Volume", "old": {"inputs": {"name": "redis_data"}}}
    assert _told(removed, _container("resOutputsEvent", "delete", **volume)) == [
        "remove container redis-circlepay",
        "remove volume redis_data",
    ]


def test_errors_that_only_say_that_something_failed_are_not_kept() -> None:
    reporter = ProgressReporter()
    for message in ("no room", "update failed", "1 error occurred:"):
        reporter.lines_for(diagnostic_event(message, "error"))
    assert reporter.errors == ["no room"]
