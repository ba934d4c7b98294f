"""Progress of a run in short lines, from Pulumi's events; the engine's own display has a hundred.

Shown are: what a resource says while it works, what changed, and warnings. Errors are kept for the end, so that they are
what remains on the screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.operations import engine_errors
from infra.operations.preview import STATE_ONLY
from infra.operations.state_file import LOCATIONS
from infra.targets import foreign, target
from infra.targets.foreign import Foreign

SHOWN_AT_THE_END = frozenset({"replace", "delete-replaced"})
"""Operations reported once the whole replacement is done, by `create-replacement`."""

REASON = " — "
"""What stands between a change and its reason, which the summary shows."""


class ProgressReporter:
    """What has been reported of a run, and what is in progress.

    errors: each once. failed: the resources at which something failed.
    engine_is_silent: whether what another provider's resources are on did not answer.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.failed: list[str] = []
        self.engine_is_silent = False
        self._in_progress: dict[str, str] = {}
        self._reported: set[str] = set()
        self._gone: set[str] = set()

    def lines_for(self, event: Mapping[str, Any]) -> list[str]:
        """The lines to print for this event, none for most."""
        if "diagnosticEvent" in event:
            return self._diagnostic(event["diagnosticEvent"])
        for kind in ("resourcePreEvent", "resOutputsEvent", "resOpFailedEvent"):
            if kind in event:
                return self._step(kind, event[kind]["metadata"])
        return []

    def in_progress(self) -> str:
        """The resources that are in progress now."""
        return ", ".join(sorted(self._in_progress.values())) or "waiting for Pulumi"

    def _diagnostic(self, diagnostic: Mapping[str, Any]) -> list[str]:
        text, severity = diagnostic["message"].strip(), diagnostic["severity"]
        if not text:
            return []
        if severity == "error":
            # What was a warning when the run looked is said again by the step that fails of it.
            self.engine_is_silent |= engine_errors.engine_is_silent(diagnostic)
            readable = engine_errors.readable(diagnostic)
            self.errors += [readable] if readable not in ("", *self.errors) else []
        elif text in self._reported:
            return []
        elif severity == "warning":
            self._reported.add(text)
            return [f"warning: {text}"]
        elif severity == "info" and diagnostic.get("ephemeral"):
            self._reported.add(diagnostic.get("urn", ""))
            return [text.partition(REASON)[0]]
        return []

    def _step(self, kind: str, step: Mapping[str, Any]) -> list[str]:
        urn, operation = step["urn"], step["op"]
        name = urn.rpartition("::")[2]
        if kind == "resourcePreEvent":
            first_look = operation == "refresh" and "look" not in self._reported
            self._reported |= {"look"} if first_look else set()
            if not step["type"].startswith("pulumi:"):
                self._in_progress[urn] = name
            return ["looking at what is there"] if first_look else []
        self._in_progress.pop(urn, None)
        self.failed += [name] if kind == "resOpFailedEvent" else []
        if operation == "refresh" and not step.get("new"):
            self._gone.add(urn)
        if (
            operation in STATE_ONLY | SHOWN_AT_THE_END
            or kind == "resOpFailedEvent"
            or (urn in self._reported and operation != "delete")
        ):
            return []
        other = foreign.of(step["type"])
        return _result(name, step) if other is None else _foreign_result(other, step, gone=urn in self._gone)


def _foreign_result(other: Foreign, step: Mapping[str, Any], *, gone: bool) -> list[str]:
    """What was done to another provider's resource; why, unless it is simply new or no longer wanted."""
    is_clear = step["op"] == "delete" or (step["op"] == "create" and not gone)
    changes = other.changes(step, gone=gone)
    return [
        f"{change['action']} {change['subject']}" + ("" if is_clear else f"{REASON}{change['reason']}")
        for change in changes
    ]


def _result(name: str, step: Mapping[str, Any]) -> list[str]:
    if step["op"] == "delete":
        # The rest only leaves the state: what it stands for goes with the folder, or stays with it.
        outputs = (step.get("old") or {}).get("outputs") or {}
        return _deleted(target.upgraded_location(outputs)) if step["type"] in LOCATIONS else []
    changes = ((step.get("new") or {}).get("outputs") or {}).get("changes")
    count = len(changes) if isinstance(changes, list) else 0
    return [f"{name}: {count} {'change' if count == 1 else 'changes'}"] if count else []


def _deleted(values: Mapping[str, Any]) -> list[str]:
    """The folder that went with a server's location; none where its data is on a volume, which is reported by itself."""
    location = values.get("location") or {}
    folder = (location.get("names") or {}).get("folder")
    return [f"deleted {folder}"] if folder else []
