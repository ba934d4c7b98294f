"""The summary tells what the last run did, and only that."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.operations import run_note, summary
from infra.operations.preview import Planned
from infra.operations.run_note import RunNote
from infra.operations.stack import StackError
from infra.operations.summary import moment, next_commands, summarize
from tests.support.locations import container_location
from tests.unit.operations.conftest import PulumiState, server_outputs
from tests.unit.operations.test_preview import CHANGE

BEFORE, BEGAN, DURING, ENDED = (
    "2026-01-02T03:00:00.999999999Z",
    "2026-01-02T03:04:05.000Z",
    "2026-01-02T03:04:06.5Z",
    "2026-01-02T03:04:15.000Z",
)
RUN = {"kind": "update", "startTime": BEGAN, "endTime": ENDED, "result": "succeeded"}


def resource(name: str, created: str, modified: str, changes: object, changed_at: str = "") -> dict[str, Any]:
    kind = "circlepay:index:Schema"
    return {
        "urn": f"urn:pulumi:test::circlepay::{kind}::{name}",
        "type": kind,
        "custom": True,
        "id": name,
        "created": created,
        "modified": modified,
        "outputs": {"changes": changes, "changedAt": changed_at},
    }


def state(outputs: dict[str, Any], *resources: dict[str, Any]) -> dict[str, Any]:
    root = {"urn": "urn:x", "type": "pulumi:pulumi:Stack", "outputs": outputs}
    return {"deployment": {"resources": [root, *resources]}}


def test_only_what_the_last_run_touched_is_told(outputs: dict[str, Any], tmp_path: Path) -> None:
    found = summarize(
        "test",
        tmp_path,
        state(
            outputs,
            resource("made", DURING, DURING, [CHANGE]),
            resource("changed", BEFORE, DURING, [CHANGE]),
            resource("untouched", BEFORE, BEFORE, [CHANGE]),
            resource("looked-at", BEFORE, DURING, []),
            resource("read-with-other-findings", BEFORE, DURING, [CHANGE], changed_at=BEFORE),
        ),
        [RUN],
    )
    assert [(item.resource, item.operation) for item in found.done] == [("made", "create"), ("changed", "update")]
    assert found.done[0].changes == (CHANGE,)
    assert (found.run, found.result, found.seconds) == ("up", "succeeded", 10)


def container(name: str, created: str, modified: str = DURING) -> dict[str, Any]:
    kind = "docker:index/container:Container"
    return {
        "urn": f"urn:pulumi:test::circlepay::{kind}::{name}",
        "type": kind,
        "created": created,
        "modified": modified,
        "inputs": {"name": f"{name}-circlepay"},
        "outputs": {},
    }


def test_containers_that_the_last_run_made_are_told(outputs: dict[str, Any], tmp_path: Path) -> None:
    content = state(outputs, container("made", DURING), container("only-looked-at", BEFORE))
    found = summarize("test", tmp_path, content, [RUN])
    assert [(item.resource, item.changes[0]["subject"]) for item in found.done] == [
        ("made", "container made-circlepay")
    ]


def test_summary_as_json_names_what_servers_run_in_and_where_their_data_is(
    outputs: dict[str, Any], tmp_path: Path
) -> None:
    location = container_location("redis", 6379)
    outputs["redis"] = server_outputs(location, version="7.0", programs="")
    postgres, redis = summarize("test", tmp_path, state(outputs), [RUN]).as_dict()["servers"]
    named = {"place": "container redis-circlepay", "data": "volume redis_data", "dataPath": "/data"}
    assert redis.items() >= (named | {"location": location.to_json()}).items()
    data = outputs["postgres"]["dataPath"]
    assert (postgres["place"], postgres["data"], postgres["dataPath"]) == ("", data, data)


def test_taking_down_is_called_down(outputs: dict[str, Any], tmp_path: Path) -> None:
    assert summarize("test", tmp_path, state(outputs), [RUN | {"kind": "destroy"}]).run == "down"


def test_summary_as_json_holds_no_secret(outputs: dict[str, Any], tmp_path: Path) -> None:
    value = summarize("test", tmp_path, state(outputs), [RUN]).as_dict()
    assert [(server["name"], server["port"]) for server in value["servers"]] == [
        ("postgres", outputs["postgres"]["port"]),
        ("redis", outputs["redis"]["port"]),
    ]
    assert value["envFile"] == outputs["envFile"]
    assert value["changed"] == []
    assert "postgresql://" not in str(value)


@pytest.mark.parametrize("missing", ["outputs", "runs", "resources"])
def test_stack_that_was_never_brought_up(outputs: dict[str, Any], tmp_path: Path, missing: str) -> None:
    content = state({} if missing == "outputs" else outputs)
    if missing == "resources":
        content["deployment"]["resources"] = None
    with pytest.raises(StackError, match="never brought up"):
        summarize("test", tmp_path, content, [] if missing == "runs" else [RUN])


def test_summary_is_read_from_pulumi(pulumi_state: PulumiState, outputs: dict[str, Any]) -> None:
    pulumi_state.add_stack("test", outputs)
    with pytest.raises(StackError, match="never brought up"):
        summary.read("test", project_root=pulumi_state.project)
    pulumi_state.write_history("test", RUN)
    found = summary.read("test", project_root=pulumi_state.project)
    assert found.view.server("redis").endpoint.port == outputs["redis"]["port"]
    assert found.result == "succeeded"
    assert outputs["databaseUrl"] not in str(found.view.outputs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.5Z", datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T12:04:05.1+09:00", datetime(2026, 1, 2, 3, 4, 5, 100000, tzinfo=UTC)),
    ],
)
def test_moments_of_pulumi(text: str, expected: datetime) -> None:
    assert moment(text) == expected


def test_next_commands_name_the_stack() -> None:
    assert "make status" in next_commands("local")
    assert all("dev" in command for command in next_commands("dev"))


def test_summarize_changes_nothing_it_was_given(outputs: dict[str, Any], tmp_path: Path) -> None:
    content = state(outputs, resource("made", DURING, DURING, [CHANGE]))
    before = copy.deepcopy(content)
    summarize("test", tmp_path, content, [RUN])
    assert content == before


FAILED = RUN | {"result": "failed"}


def noted(began: str = "2026-01-02T03:04:04.7Z", ended: str = "2026-01-02T03:04:15.2Z", **more: Any) -> RunNote:
    """What a run of `circlepay` left, by default RUN."""
    return RunNote(moment(began), moment(ended), **more)


def test_a_note_tells_apart_runs_that_end_and_begin_in_one_second(outputs: dict[str, Any], tmp_path: Path) -> None:
    content = state(outputs, resource("changed-by-the-run-before", BEFORE, "2026-01-02T03:04:05.2Z", [CHANGE]))
    changed = Planned("redis-volume", "Volume", "update", (CHANGE,))
    assert [item.resource for item in summarize("test", tmp_path, content, [RUN], noted(done=(changed,))).done] == [
        "redis-volume"
    ]
    assert summarize("test", tmp_path, content, [RUN], noted()).done == ()


@pytest.mark.parametrize(
    ("began", "ended"),
    [("2026-01-02T03:03:50Z", "2026-01-02T03:04:05.9Z"), ("2026-01-02T03:04:16Z", "2026-01-02T03:04:20Z")],
)
def test_the_note_of_another_run_counts_for_nothing(
    outputs: dict[str, Any], tmp_path: Path, began: str, ended: str
) -> None:
    content = state(outputs, resource("made", DURING, DURING, [CHANGE]))
    found = summarize("test", tmp_path, content, [FAILED], noted(began, ended, reason="port 5432 is taken"))
    assert (found.reason, [item.resource for item in found.done]) == ("", ["made"])


def test_what_a_run_deleted_is_not_among_what_it_made(outputs: dict[str, Any], tmp_path: Path) -> None:
    deleted = Planned("redis", "Container", "delete", (CHANGE,))
    assert summarize("test", tmp_path, state(outputs), [RUN], noted(done=(deleted,))).done == ()


def test_failed_run_says_why(outputs: dict[str, Any], tmp_path: Path) -> None:
    found = summarize("test", tmp_path, state(outputs), [FAILED], noted(reason="port 5432 is taken"))
    assert (found.result, found.reason) == ("failed", "port 5432 is taken")
    assert found.as_dict()["reason"] == "port 5432 is taken"


def test_reason_of_before_is_not_told_of_a_run_that_succeeded(outputs: dict[str, Any], tmp_path: Path) -> None:
    assert summarize("test", tmp_path, state(outputs), [RUN], noted(reason="port 5432 is taken")).reason == ""


def test_first_run_that_failed_says_why(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="its last run failed: port 5432 is taken"):
        summarize("test", tmp_path, state({}), [FAILED], noted(reason="port 5432 is taken"))


def test_reason_is_kept_by_the_run(pulumi_state: PulumiState, outputs: dict[str, Any]) -> None:
    pulumi_state.add_stack("test", outputs)
    pulumi_state.write_history("test", FAILED)
    assert summary.read("test", project_root=pulumi_state.project).reason == ""
    run_note.write(noted(reason="port 5432 is taken"), "test", pulumi_state.project)
    assert summary.read("test", project_root=pulumi_state.project).reason == "port 5432 is taken"


def test_warnings_are_told(outputs: dict[str, Any], tmp_path: Path) -> None:
    warned = outputs | {"warnings": ["circlepay:verify is false"]}
    assert summarize("test", tmp_path, state(warned), [RUN]).as_dict()["warnings"] == ["circlepay:verify is false"]
