"""What the last `up` did and where everything is now, for the person who typed it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.changes import ShownChange
from infra.operations import docker_steps, preview, stack
from infra.operations.stack import PROJECT_ROOT, SERVERS, StackView

STACK_TYPE = "pulumi:pulumi:Stack"
RUNS = {"update": "up", "destroy": "down"}
"""What Pulumi calls a run -> what was typed."""


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
    """view: the stack without its secrets. run: `up` or `down`. result: as Pulumi names it. seconds: how long that took.

    reason: why it failed, where that is known.
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
                    "dataPath": str(server.data_path),
                    "logPath": str(server.log_path or ""),
                    "container": server.container,
                    "volume": server.volume,
                    "engine": server.engine,
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
    return summarize(name, project_root, state, json.loads(runs.result() or "[]"), kept_reason(name, project_root))


def kept_reason(name: str, project_root: Path) -> str:
    """Why the last run failed, as it was kept by the run; empty where nothing was."""
    try:
        return (project_root / ".circlepay" / f"failure-{name}.txt").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def summarize(
    name: str, project_root: Path, state: Mapping[str, Any], runs: list[Mapping[str, Any]], reason: str = ""
) -> Summary:
    """The summary of a state and the newest run first. Pure. Raises StackError for a stack without outputs.

    reason: why the newest run failed; of no account when it did not.
    """
    resources = (state.get("deployment") or {}).get("resources") or []
    outputs = next((item.get("outputs") for item in resources if item["type"] == STACK_TYPE), None)
    failed = bool(runs) and runs[0].get("result") == "failed"
    if failed and not outputs and reason:
        raise stack.StackError("read stack", name, f"its last run failed: {reason}", stack.up_hint(name))
    if not outputs or not runs:
        raise stack.StackError("read stack", name, "it was never brought up, or it was taken down", stack.up_hint(name))
    last = runs[0]
    began = moment(last["startTime"])
    done = (_of_engine(item, began) or _done(item, began) for item in resources)
    return Summary(
        view=StackView(stack=name, project_root=project_root, outputs=outputs),
        run=RUNS.get(last.get("kind", ""), str(last.get("kind"))),
        result=str(last.get("result", "")),
        seconds=round((moment(last["endTime"]) - began).total_seconds()) if last.get("endTime") else 0,
        done=tuple(item for item in done if item is not None),
        reason=reason if failed else "",
    )


def _of_engine(item: Mapping[str, Any], began: datetime) -> Done | None:
    """A container, image or volume that the run that began then made. That it changed one in place is not in the state."""
    created = item.get("created")
    if not docker_steps.is_one(item["type"]) or not created or moment(created) < began:
        return None
    return Done(preview.name(item["urn"]), "create", (docker_steps.made(item),))


def _done(item: Mapping[str, Any], began: datetime) -> Done | None:
    """What the run that began then did to one resource: None when it was touched before, or only looked at.

    `modified` also moves when a read finds other findings, so the provider says itself when it changed something.
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
    """A moment as Pulumi writes it: RFC 3339 with up to nine digits of a second, of which six are kept."""
    return datetime.fromisoformat(text)


def next_commands(name: str) -> dict[str, str]:
    """What to type next, and what it is for."""
    suffix = "" if name == "local" else f" STACK={name}"
    option = "" if name == "local" else f" --stack {name}"
    return {
        f"make verify{suffix}": "look at everything from outside",
        f"make status{suffix}": "what runs, and what drifted",
        f"tools/environment.sh circlepay psql{option}": "a shell on the database",
        f"tools/environment.sh circlepay monitor{option}": "all monitoring queries",
        f"make down{suffix}": "stop the servers and keep the data",
    }
