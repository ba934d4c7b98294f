"""What an `up` would change, from the events of Pulumi's engine during a preview."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from infra.changes import ShownChange
from infra.operations.engine_errors import EngineError
from infra.operations.stack import run_pulumi
from infra.paths import PROJECT_ROOT
from infra.targets import foreign, target

STATE_ONLY = frozenset({"same", "read", "refresh", "discard", "read-discard"})
"""Operations of Pulumi that change nothing outside its state."""
PARTS_OF_REPLACE = frozenset({"delete-replaced", "create-replacement"})
"""Operations of Pulumi that are part of a `replace`, which is reported by itself."""

FINISHED = "resOutputsEvent"
"""The engine's event for a step that has been done."""
EVENTS = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "1"}
"""Makes `--json` print the engine's events, one JSON object per line; the default document lacks the outputs of updates."""


@dataclass(frozen=True)
class Planned:
    """One resource that an `up` would change. operation: create, update, replace or delete."""

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


@dataclass(frozen=True)
class Preview:
    """planned: every resource an `up` would change, in its order. findings: what needs a decision, as it is now."""

    planned: tuple[Planned, ...] = ()
    findings: tuple[dict[str, str], ...] = ()


def run(stack: str, *, project_root: Path = PROJECT_ROOT) -> Preview:
    """Looks at everything, and changes nothing. Raises StackError."""
    arguments = ["preview", "--json", "--refresh", "--stack", stack]
    try:
        text = run_pulumi(arguments, stack, project_root, EVENTS)
    except EngineError as error:
        if error.operation not in {each.NAME for each in foreign.known()}:
            raise
        # The engine's address in the state may be outdated: only with this flag does Pulumi run the program for the current one.
        text = run_pulumi([*arguments, "--run-program"], stack, project_root, EVENTS)
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return Preview(tuple(planned(events)), tuple(findings(events)))


def findings(events: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What each resource found when it was refreshed; those of the verification are of its last run, and left out."""
    found: dict[str, list[dict[str, str]]] = {}
    for event in events:
        step = (event.get(FINISHED) or {}).get("metadata") or {}
        kind = str(step.get("type"))
        if step.get("op") == "refresh" and kind.startswith("circlepay:") and not kind.endswith(":Verification"):
            found[step["urn"]] = ((step.get("new") or {}).get("outputs") or {}).get("findings") or []
    return [each for urn in sorted(found) for each in found[urn]]


def planned(events: Iterable[Mapping[str, Any]]) -> list[Planned]:
    """The planned changes in the engine's events, or of a run's finished steps what they have changed.

    A resource that is only updated because one it depends on is (its changes are known, and there are none) is left out.
    """
    found: dict[str, Planned] = {}
    gone: set[str] = set()
    for event in events:
        is_done = FINISHED in event
        step = (event.get("resourcePreEvent") or event.get(FINISHED) or {}).get("metadata")
        if step and is_gone(step, is_done=is_done):
            gone.add(step["urn"])
        if step and is_reported(step):
            found[step["urn"]] = item = _planned(step, gone=step["urn"] in gone)
            if is_done and item.operation == "update" and is_empty(step):
                del found[step["urn"]]
    return list(found.values())


def is_gone(step: Mapping[str, Any], *, is_done: bool) -> bool:
    """Whether a refresh has found that a resource no longer exists."""
    return bool(is_done and step["op"] == "refresh" and step.get("old") and not step.get("new"))


def is_reported(step: Mapping[str, Any]) -> bool:
    """Whether a step changes a resource of this package or of pulumi-docker. A replacement counts once, as `replace`."""
    kind = step["type"]
    if step["op"] in STATE_ONLY | PARTS_OF_REPLACE or kind in target.retired_types():
        return False
    return kind.startswith("circlepay:") or foreign.of(kind) is not None


def is_empty(step: Mapping[str, Any]) -> bool:
    """Whether a resource of this package knows its changes, and there are none."""
    return _own_changes(step) == []


def _own_changes(step: Mapping[str, Any]) -> object:
    return ((step.get("new") or {}).get("outputs") or {}).get("changes")


def _planned(step: Mapping[str, Any], *, gone: bool) -> Planned:
    other = foreign.of(step["type"])
    changes = other.changes(step, gone=gone) if other else changes_in(_own_changes(step))
    return Planned(name(step["urn"]), step["type"].rpartition(":")[2], step["op"], changes)


def changes_in(value: object) -> tuple[ShownChange, ...]:
    """The changes among a resource's outputs; empty while they are unknown."""
    changes = value if isinstance(value, list) else []
    return tuple(cast(ShownChange, change) for change in changes if isinstance(change, dict))


def name(urn: str) -> str:
    """The resource's own name in a URN."""
    return urn.rpartition("::")[2]
