"""What an `up` would change, as Pulumi's engine tells it while it previews."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from infra.changes import ShownChange
from infra.operations import docker_steps
from infra.operations.engine_errors import PLUGIN, EngineError
from infra.operations.stack import PROJECT_ROOT, run_pulumi

QUIET = frozenset({"same", "read", "refresh", "discard", "read-discard"})
"""Operations of Pulumi that change nothing outside its state."""

EVENTS = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "1"}
"""The engine's events, one JSON object a line; the single document `--json` is otherwise lacks the outputs of updates."""


@dataclass(frozen=True)
class Planned:
    """One resource that an `up` would touch. operation: create, update, replace or delete. changes: what that takes."""

    resource: str
    kind: str
    operation: str
    changes: tuple[ShownChange, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "resource": self.resource,
            "type": self.kind,
            "operation": self.operation,
            "changes": [dict(change) for change in self.changes],
        }


def run(stack: str, *, project_root: Path = PROJECT_ROOT) -> list[Planned]:
    """Every resource an `up` would change, in its order; empty when there is nothing to do. Raises StackError."""
    arguments = ["preview", "--json", "--refresh", "--stack", stack]
    try:
        text = run_pulumi(arguments, stack, project_root, EVENTS)
    except EngineError as error:
        if error.operation != PLUGIN:
            raise
        # The engine that the state remembers may have moved: Pulumi asks the program for its place only where told to.
        text = run_pulumi([*arguments, "--run-program"], stack, project_root, EVENTS)
    return planned(json.loads(line) for line in text.splitlines() if line.startswith("{"))


def planned(events: Iterable[Mapping[str, Any]]) -> list[Planned]:
    """What the engine's events say would change.

    A resource that is only updated because something before it is (its changes are known, and there are none) is left out.
    """
    found: dict[str, Planned] = {}
    gone: set[str] = set()
    for event in events:
        is_done = "resOutputsEvent" in event
        step = (event.get("resourcePreEvent") or event.get("resOutputsEvent") or {}).get("metadata")
        if step and is_gone(step, is_done=is_done):
            gone.add(step["urn"])
        if step and is_told(step):
            found[step["urn"]] = item = _planned(step, gone=step["urn"] in gone)
            if is_done and item.operation == "update" and is_empty(step):
                del found[step["urn"]]
    return list(found.values())


def is_gone(step: Mapping[str, Any], *, is_done: bool) -> bool:
    """Whether a look has found a resource to be no longer there."""
    return bool(is_done and step["op"] == "refresh" and step.get("old") and not step.get("new"))


def is_told(step: Mapping[str, Any]) -> bool:
    """Whether a step changes something that is ours or pulumi-docker's. A replacement is told once, as `replace`."""
    kind = step["type"]
    return step["op"] not in QUIET | docker_steps.HALVES and (
        kind.startswith("circlepay:") or docker_steps.is_one(kind)
    )


def is_empty(step: Mapping[str, Any]) -> bool:
    """Whether a resource of ours knows what it changes, and that it is nothing."""
    return _own_changes(step) == []


def _own_changes(step: Mapping[str, Any]) -> object:
    return ((step.get("new") or {}).get("outputs") or {}).get("changes")


def _planned(step: Mapping[str, Any], *, gone: bool) -> Planned:
    own = not docker_steps.is_one(step["type"])
    changes = changes_in(_own_changes(step)) if own else docker_steps.changes(step, gone=gone)
    return Planned(name(step["urn"]), step["type"].rpartition(":")[2], step["op"], changes)


def changes_in(value: object) -> tuple[ShownChange, ...]:
    """The changes a resource outputs; none where it does not know them yet."""
    changes = value if isinstance(value, list) else []
    return tuple(cast(ShownChange, change) for change in changes if isinstance(change, dict))


def name(urn: str) -> str:
    """The resource's own name in a URN."""
    return urn.rpartition("::")[2]
