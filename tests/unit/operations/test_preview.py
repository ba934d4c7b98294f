"""The engine's events of a preview become a list of changes; what changes nothing is left out."""

from __future__ import annotations

from typing import Any

import pytest

from infra.changes import ShownChange
from infra.operations.preview import changes_in, findings, name, planned

CHANGE: ShownChange = {
    "subject": "index public.idx_users_email",
    "action": "create",
    "reason": "is missing",
    "lock": "SHARE on public.users",
    "effect": "live",
    "reversible": True,
}


def event(
    operation: str, changes: object = None, kind: str = "circlepay:index:Schema", which: str = "resOutputsEvent"
) -> dict[str, Any]:
    urn = f"urn:pulumi:local::circlepay::{kind}::schema"
    outputs = {} if changes is None else {"outputs": {"changes": changes}}
    return {"sequence": 1, which: {"metadata": {"op": operation, "urn": urn, "type": kind, "new": outputs}}}


@pytest.mark.parametrize("operation", ["create", "update", "replace", "delete"])
def test_change_is_listed_once(operation: str) -> None:
    found = planned([event(operation, which="resourcePreEvent"), event(operation, [CHANGE])])
    assert [item.as_dict() for item in found] == [
        {"resource": "schema", "type": "Schema", "operation": operation, "changes": [CHANGE]}
    ]


@pytest.mark.parametrize(
    ("events", "kept"),
    [
        *([[event(operation, [CHANGE])], []] for operation in ("same", "read", "refresh")),
        *([[event("create", kind=f"pulumi:{kind}")], []] for kind in ("providers:docker", "providers:circlepay")),
        ([event("create", kind="pulumi:pulumi:Stack")], []),
        ([event("update", which="resourcePreEvent"), event("update", [])], []),  # only because of what comes before it
        ([event("update", which="resourcePreEvent")], ["update"]),  # it failed in the preview
        ([event("create", [])], ["create"]),
        ([{"preludeEvent": {}}, {"diagnosticEvent": {"message": "x"}}], []),
        ([], []),
    ],
)
def test_what_changes_nothing_is_left_out(events: list[dict[str, Any]], kept: list[str]) -> None:
    assert [item.operation for item in planned(events)] == kept


CONTAINER = "docker:index/container:Container"
NAMED = {"inputs": {"name": "redis-circlepay"}}


def container_event(operation: str, which: str = "resOutputsEvent", **more: Any) -> dict[str, Any]:
    found = event(operation, kind=CONTAINER, which=which)
    found[which]["metadata"] |= {"old": NAMED, "new": NAMED, **more}
    return found


def test_container_is_listed_with_the_properties_that_differ() -> None:
    old, new = ({"inputs": {"name": "redis-circlepay", "user": user}} for user in ("1:1", "2:2"))
    found = planned([container_event("replace", old=old, new=new, detailedDiff={"user": {}})])
    assert [(item.resource, item.kind, item.operation) for item in found] == [("schema", "Container", "replace")]
    assert found[0].changes[0]["reason"] == "user: 1:1 -> 2:2"


def test_replacement_is_listed_once() -> None:
    steps = ["delete-replaced", "replace", "create-replacement"]
    found = planned(
        [container_event(step, which) for step in steps for which in ("resourcePreEvent", "resOutputsEvent")]
    )
    assert [item.operation for item in found] == ["replace"]


@pytest.mark.parametrize(("new", "reason"), [(None, "is gone"), (NAMED, "is not there yet")])
def test_container_that_the_look_did_not_find_is_gone(new: Any, reason: str) -> None:
    found = planned([container_event("refresh", new=new), container_event("create", old=None)])
    assert found[0].changes[0]["reason"] == reason


def test_replacement_of_ours_keeps_its_changes() -> None:
    found = planned([event("delete-replaced"), event("replace", [CHANGE]), event("create-replacement", [CHANGE])])
    assert [(item.operation, item.changes) for item in found] == [("replace", (CHANGE,))]


def test_deleted_resource_has_no_new_state() -> None:
    deleted = event("delete")
    deleted["resOutputsEvent"]["metadata"]["new"] = None
    assert [(item.operation, item.changes) for item in planned([deleted])] == [("delete", ())]


@pytest.mark.parametrize("value", [None, "04da6b54-80e4-46f7-96ec-b56ff0331ba9", {}])
def test_changes_that_are_not_known_yet_are_none(value: object) -> None:
    assert changes_in(value) == ()


def test_name_of_a_resource() -> None:
    assert name("urn:pulumi:local::circlepay::circlepay:index:EnvFile::env-file") == "env-file"


def test_findings_are_those_of_the_refresh() -> None:
    """Not those in the state, which are of the last `up`, nor those of the last verification."""
    found = [{"subject": "table public.by_hand", "problem": "no migration creates it", "remedy": "drop it"}]

    def refreshed(kind: str, which: str, shown: object) -> dict[str, Any]:
        step = event("refresh", kind=f"circlepay:index:{kind}", which=which)
        step[which]["metadata"]["new"] = {"outputs": {"findings": shown}}
        return step

    events = [refreshed("Schema", "resourcePreEvent", []), refreshed("Schema", "resOutputsEvent", found)]
    assert findings([*events, refreshed("Verification", "resOutputsEvent", [{"subject": "old"}])]) == found
    assert findings([event("update", [CHANGE])]) == []
