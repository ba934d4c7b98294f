"""Which process is the server: the record its launcher wrote, and whether it still names a living process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from infra import files
from infra.targets.processes.launch import identity


@dataclass(frozen=True)
class ProcessRecord:
    """A server's process as it was started.

    identity: tells it from a later process with the same id. programs: folder of the programs it was started from.
    endpoint: `host:port` it was started on. restart_key: what it read at its start, which earlier releases kept here.
    """

    pid: int
    identity: str
    programs: str
    endpoint: str
    restart_key: str = ""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a zombie or another process with its id does not count."""
        return bool(self.identity) and identity(self.pid) == self.identity


def read(path: Path) -> ProcessRecord | None:
    """The record at `path`, None when there is none or it is not one (it is only a cache: the port shows the rest)."""
    try:
        value = json.loads(files.read(path))
        identity, programs, endpoint = (str(value[name]) for name in ("identity", "programs", "endpoint"))
        return ProcessRecord(int(value["pid"]), identity, programs, endpoint, str(value.get("restart_key", "")))
    except (FileNotFoundError, IsADirectoryError, files.IrregularFileError, ValueError, KeyError, TypeError):
        return None


def running(path: Path) -> ProcessRecord | None:
    """The record at `path` of a process that still runs; None without one."""
    record = read(path)
    return record if record is not None and record.alive else None
