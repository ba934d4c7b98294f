"""Summary of the last `up` or `down`: what it changed, and where everything is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.changes import ShownChange
from infra.endpoint import SERVERS
from infra.operations import preview, run_note, stack
from infra.operations.run_note import RunNote
from infra.operations.stack import StackView
from infra.paths import PROJECT_ROOT
from infra.targets import foreign

STACK_TYPE = "pulumi:pulumi:Stack"
RUNS = {"update": "up", "destroy": "down"}
"""Pulumi's name of a run -> the command."""


@dataclass(frozen=True)
class Done:
    """One resource in which the last run changed something, and what."""

    resource: str
    operation: str
    changes: tuple[ShownChange, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "resource": self.resource,
            "operation": self.operation,
            "changes": [dict(change) for change in self.changes],
        }


@dataclass(frozen=True)
class Summary:
    """view: the stack without its secrets. run: `up` or `down`. result: in Pulumi's terms. seconds: its duration.

    reason: why it failed, if known.
    """

    view: StackView
    run: str
    result: str
    seconds: int
    done: tuple[Done, ...]
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        servers = [self.view.server(name) for name in SERVERS if self.view.outputs.get(name)]
        return {
            "stack": self.view.stack,
            "run": self.run,
            "result": self.result,
            "reason": self.reason,
            "seconds": self.seconds,
            "servers": [
                {
                    "name": server.name,
                    "address": server.endpoint.host,
                    "port": server.endpoint.port,
                    "version": server.version,
                    "dataPath": server.location.placeholders["data"],
                    "place": server.target.describe(server.location)[0],
                    "data": server.target.describe(server.location)[1],
                    "location": server.location.to_json(),
                }
                for server in servers
            ],
            "changed": [done.as_dict() for done in self.done],
            "verification": self.view.verification,
            "warnings": self.view.warnings,
            "findings": self.view.findings,
            "envFile": str(self.view.env_file),
            "next": next_commands(self.view.stack),
        }


def read(name: str, *, project_root: Path = PROJECT_ROOT) -> Summary:
    """The stack's last run. Raises StackError when there is none."""
    history = ["stack", "history", "--json", "--page-size", "1", "--page", "1", "--stack", name]
    with ThreadPoolExecutor(max_workers=1) as pool:
        runs = pool.submit(stack.run_pulumi, history, name, project_root)
        state = stack.export(name, project_root=project_root)
    return summarize(name, project_root, state, json.loads(runs.result() or "[]"), run_note.read(name, project_root))


def summarize(
    name: str,
    project_root: Path,
    state: Mapping[str, Any],
    runs: list[Mapping[str, Any]],
    note: RunNote | None = None,
) -> Summary:
    """The summary of a state and its runs, newest first. Pure. Raises StackError for a stack without outputs.

    note: what the last run of `circlepay` left; ignored when the newest run is another, such as a bare `pulumi up`.
    """
    resources = (state.get("deployment") or {}).get("resources") or []
    outputs = next((item.get("outputs") for item in resources if item["type"] == STACK_TYPE), None)
    failed = bool(runs) and runs[0].get("result") == "failed"
    note = note if runs and note and _is_of(note, runs[0]) else None
    reason = note.reason if note and failed else ""
    if failed and not outputs and reason:
        raise stack.StackError("read stack", name, f"its last run failed: {reason}", stack.up_hint(name))
    if not outputs or not runs:
        raise stack.StackError("read stack", name, "it was never brought up, or it was taken down", stack.up_hint(name))
    last = runs[0]
    began = moment(last["startTime"])
    return Summary(
        view=StackView(stack=name, project_root=project_root, outputs=outputs),
        run=RUNS.get(last.get("kind", ""), str(last.get("kind"))),
        result=str(last.get("result", "")),
        seconds=round((moment(last["endTime"]) - began).total_seconds()) if last.get("endTime") else 0,
        done=tuple(_done_by_note(note) if note else _done_by_time(resources, began)),
        reason=reason,
    )


def _is_of(note: RunNote, run: Mapping[str, Any]) -> bool:
    return bool(run.get("endTime")) and note.is_of(moment(run["startTime"]), moment(run["endTime"]))


def _done_by_note(note: RunNote) -> Iterator[Done]:
    """What still stands after the run: `down` tells of its deletions itself."""
    yield from (Done(each.resource, each.operation, each.changes) for each in note.done if each.operation != "delete")


def _done_by_time(resources: Iterable[Mapping[str, Any]], began: datetime) -> Iterator[Done]:
    """What the state says was changed since the run began, for a run that left no note."""
    yield from (done for item in resources if (done := _foreign(item, began) or _done(item, began)) is not None)


def _foreign(item: Mapping[str, Any], began: datetime) -> Done | None:
    """Another provider's resource that was created since `began`. The state does not record updates in place."""
    created, other = item.get("created"), foreign.of(item["type"])
    if other is None or not created or moment(created) < began:
        return None
    return Done(preview.name(item["urn"]), "create", (other.made(item),))


def _done(item: Mapping[str, Any], began: datetime) -> Done | None:
    """What the run changed in one resource; None when it was last changed before `began`, or only read.

    `modified` also moves when a read returns new findings, so the provider itself records when it changed something.
    """
    outputs = item.get("outputs") or {}
    if not item["type"].startswith("circlepay:"):
        return None
    touched = outputs.get("changedAt") or item.get("modified")
    if not touched or moment(touched) < began:
        return None
    changes = preview.changes_in(outputs.get("changes"))
    created = moment(item["created"]) >= began if item.get("created") else False
    return Done(preview.name(item["urn"]), "create" if created else "update", changes) if changes else None


def moment(text: str) -> datetime:
    """A timestamp of Pulumi: RFC 3339 with up to nine decimals of a second, of which six are kept."""
    return datetime.fromisoformat(text)


def next_commands(name: str) -> dict[str, str]:
    """Next commands -> their purpose."""
    suffix = "" if name == "local" else f" STACK={name}"
    option = "" if name == "local" else f" --stack {name}"
    return {
        f"make verify{suffix}": "check everything from outside",
        f"make status{suffix}": "what is running, and what drifted",
        f"tools/environment.sh circlepay psql{option}": "a shell on the database",
        f"tools/environment.sh circlepay monitor{option}": "all monitoring queries",
        f"make down{suffix}": "stop the servers and keep the data",
    }
