"""The same observations through psutil, for this machine only, on systems without /proc."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from infra.verification.checks.machine import Address, Entry, Machine, Process


def observe_with_psutil(pids: Mapping[str, int], folders: Mapping[str, Sequence[str]]) -> Machine:
    """The servers' processes and folders. pids: as for machine.observe. folders: from folders_of, by server."""
    machine = Machine(whoami=getpass.getuser())
    for server, pid in pids.items():
        found = psutil.Process(pid)
        if server == "postgres":
            found = found.parent() or found
        machine.processes[server] = Process(
            found.pid, user=found.username(), name=found.name(), arguments=found.cmdline(), listening=_listening(found)
        )
        machine.entries.update({entry.path: entry for entry in map(_entry, _paths(folders[server]))})
    return machine


def _listening(process: psutil.Process) -> set[Address]:
    connections = process.net_connections(kind="tcp")
    return {Address(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN}


def _paths(folders: Sequence[str]) -> list[Path]:
    *_, config, secrets = map(Path, folders)
    inside = [path for folder in (config, secrets) for path in folder.rglob("*")]
    return [path for path in (*map(Path, folders), *inside) if path.exists()]


def _entry(path: Path) -> Entry:
    kind = "directory" if path.is_dir() else "regular file"
    return Entry(f"{path.stat().st_mode & 0o7777:o}", path.owner(), kind, str(path))
