"""What an `up` would change, as Pulumi's engine tells it while it previews."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from infra.changes import ShownChange
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
    text = run_pulumi(["preview", "--json", "--refresh", "--stack", stack], stack, project_root, EVENTS)
    return planned(json.loads(line) for line in text.splitlines() if line.startswith("{"))


def planned(events: Iterable[Mapping[str, Any]]) -> list[Planned]:
    """What the engine's events say would change.

    A resource that is only updated because something before it is (its changes are known, and there are none) is left out.
    """
    found: dict[str, Planned] = {}
    for event in events:
        step = (event.get("resourcePreEvent") or event.get("resOutputsEvent") or {}).get("metadata")
        if not step or step["op"] in QUIET or not step["type"].startswith("circlepay:"):
            continue
        changes = ((step.get("new") or {}).get("outputs") or {}).get("changes")
        found[step["urn"]] = Planned(
            name(step["urn"]), step["type"].rpartition(":")[2], step["op"], changes_in(changes)
        )
        if "resOutputsEvent" in event and step["op"] == "update" and changes == []:
            del found[step["urn"]]
    return list(found.values())


def changes_in(value: object) -> tuple[ShownChange, ...]:
    """The changes a resource outputs; none where it does not know them yet."""
    changes = value if isinstance(value, list) else []
    return tuple(cast(ShownChange, change) for change in changes if isinstance(change, dict))


def name(urn: str) -> str:
    """The resource's own name in a URN."""
    return urn.rpartition("::")[2]
