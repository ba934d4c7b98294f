"""Observations of a machine about the servers on it: processes, sockets, files. A container counts as a machine.

Read through testinfra's connection by one shell script, because a round trip to a container per fact would add up, and
from /proc, because minimal images have neither `ss` nor `ps`. Without /proc (macOS) psutil is used instead, which only
sees this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from testinfra.host import Host

from infra.verification.subject import ServerSubject, Subject

SCRIPT = Path(__file__).with_name("machine.sh")


class Address(NamedTuple):
    """An address something listens on."""

    ip: str
    port: int


@dataclass
class Process:
    """A server's main process.

    sockets: inodes of its sockets; None without permission to read them. status: its capabilities (CapEff and the like,
    in hexadecimal), NoNewPrivs and Seccomp from /proc.
    """

    pid: int
    user: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    sockets: set[str] | None = None
    listening: set[Address] = field(default_factory=set)
    status: dict[str, str] = field(default_factory=dict, compare=False)


@dataclass
class Entry:
    """A file or folder: mode in octal without leading zero, owner's name, kind as `stat` names it."""

    mode: str
    owner: str
    kind: str
    path: str


@dataclass
class Machine:
    """All observations.

    whoami: the user who observed. listeners: inode of every listening TCP socket -> address. programs: names of all
    running programs, only in a container.
    """

    whoami: str = ""
    processes: dict[str, Process] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    listeners: dict[str, Address] = field(default_factory=dict)
    programs: list[str] = field(default_factory=list)

    def listening(self, server: str, port: int) -> set[Address]:
        """Addresses on which a server's process listens; if its sockets cannot be read, every listener on its port."""
        process = self.processes[server]
        hidden = process.sockets is None and not process.listening
        return {each for each in self.listeners.values() if each.port == port} if hidden else process.listening


def observe(host: Host, pids: Mapping[str, int], subject: Subject) -> Machine:
    """All observations by one command. pids: server -> process id; for PostgreSQL that of a backend of the server."""
    folders = {name: folders_of(subject.servers[name]) for name in pids}
    scope = "own" if set(pids) <= set(subject.isolated) else "shared"
    words = [scope, *(word for name in pids for word in (name, str(pids[name]), *folders[name]))]
    placeholders = " ".join(["%s"] * (len(words) + 2))
    answer = host.run(f"sh -c {placeholders}", SCRIPT.read_text(encoding="utf-8"), "observe", *words)
    if answer.stdout.startswith("no-proc"):
        from infra.verification.checks.machine_without_proc import observe_with_psutil

        return observe_with_psutil(pids, folders)
    assert answer.rc == 0, f"the machine could not be inspected: {answer.stderr.strip()}"
    return parse(answer.stdout.splitlines())


def folders_of(server: ServerSubject) -> tuple[str, ...]:
    """A server's folders: data, logs, configuration, secrets."""
    return tuple(server.placeholders[name] for name in ("data", "logs", "config", "secrets"))


def parse(lines: Iterable[str]) -> Machine:
    """The script's tab-separated lines as a Machine."""
    machine = Machine()
    for line in lines:
        kind, *words = line.split("\t")
        if kind == "whoami":
            machine.whoami = words[0]
        elif kind == "process":
            machine.processes[words[0]] = Process(int(words[1]), user=words[2], name=words[3])
        elif kind == "argument":
            machine.processes[words[0]].arguments.append(words[1])
        elif kind == "sockets":
            machine.processes[words[0]].sockets = set(words[1].split())
        elif kind == "status":
            machine.processes[words[0]].status[words[1]] = words[2]
        elif kind == "program":
            machine.programs.append(words[0])
        elif kind == "entry":
            machine.entries[words[3]] = Entry(*words)
        elif kind == "listener":
            machine.listeners[words[1]] = _address(words[0])
    for process in machine.processes.values():
        process.listening = {machine.listeners[inode] for inode in process.sockets or () if inode in machine.listeners}
    return machine


def _address(hexadecimal: str) -> Address:
    """An address of /proc/net/tcp: 32-bit words in host byte order, little-endian on every supported machine."""
    ip, port = hexadecimal.split(":")
    words = [bytes.fromhex(ip[start : start + 8])[::-1] for start in range(0, len(ip), 8)]
    return Address(str(ipaddress.ip_address(b"".join(words))), int(port, 16))
