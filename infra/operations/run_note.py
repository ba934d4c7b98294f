"""What a run of `circlepay` leaves for the summary: what it changed, as its own events said, and why it failed.

The state tells when a resource changed, and Pulumi's history in whole seconds when a run began: where one run ends and the next
begins within a second, only the events know which of them changed what.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra import files
from infra.operations.preview import Planned, changes_in
from tools.paths import make_private


@dataclass(frozen=True)
class RunNote:
    """began, ended: of the run, by this machine's clock. done: its changes. reason: why it failed; empty when it did not."""

    began: datetime
    ended: datetime
    done: tuple[Planned, ...] = ()
    reason: str = ""

    def is_of(self, started: datetime, ended: datetime) -> bool:
        """Whether it is of the run that Pulumi's history has from `started` to `ended`, in whole seconds."""
        return self.began.replace(microsecond=0) <= started and ended <= self.ended


def path_of(stack: str, project_root: Path) -> Path:
    """Where the last run's note is kept until the next one."""
    return project_root / ".circlepay" / f"run-{stack}.json"


def write(note: RunNote, stack: str, project_root: Path) -> None:
    """Put it in place of the last one, for its owner only: a message may name what is nobody else's business."""
    path = path_of(stack, project_root)
    make_private(path.parent)
    value = {
        "began": note.began.isoformat(),
        "ended": note.ended.isoformat(),
        "reason": note.reason,
        "done": [planned.as_dict() for planned in note.done],
    }
    files.replace(path, json.dumps(value).encode())


def read(stack: str, project_root: Path) -> RunNote | None:
    """The last run's note; None without one, or when what is there is none."""
    try:
        value = json.loads(files.read_text(path_of(stack, project_root)))
        return RunNote(
            datetime.fromisoformat(value["began"]),
            datetime.fromisoformat(value["ended"]),
            tuple(_planned(each) for each in value["done"]),
            str(value["reason"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _planned(value: Mapping[str, Any]) -> Planned:
    return Planned(value["resource"], value["type"], value["operation"], changes_in(value["changes"]))


def now() -> datetime:
    """This moment, with its time zone as Pulumi's history has it."""
    return datetime.now(UTC)
