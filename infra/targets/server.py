"""One server on any target: what is there, and what would make it as declared. No product and no target is named here.

    facts = read(server)       what is there, never raises because the server is down
    plan = plan(facts, server) pure; its changes are empty when nothing differs

A server is running when its process exists, and alive when it accepts its own credentials. lifecycle.py acts on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from infra.changes import Change, Effect
from infra.errors import CirclePayError
from infra.targets import rendering
from infra.targets.machine import (
    APPLIED_FILE,
    PRIVATE_FOLDER,
    PRIVATE_FOLDERS,
    Applied,
    DataKind,
    FileState,
    Machine,
    ProcessState,
)
from infra.targets.spec import Answer, CredentialsRefused, ServerFile, ServerSpec

READ_TIMEOUT = 5.0
"""Seconds a server has to answer when its state is read."""


@dataclass(frozen=True)
class Facts:
    """What is there. files: path below the place -> state. version: what the server answered, or empty.

    problem: why it did not answer. refused: it answered, and did not accept its credentials. reload, restart: what is in
    force, by its own answer, and not what its files say; see Answer. halted: it was stopped by a signal.
    """

    files: Mapping[str, FileState] = field(default_factory=dict)
    data: DataKind = DataKind.ABSENT
    process: ProcessState = field(default_factory=ProcessState)
    version: str = ""
    problem: str = ""
    refused: bool = False
    reload: str = ""
    restart: str = ""
    halted: bool = False

    @property
    def has_data(self) -> bool:
        """Whether there is data that an initialisation must not overwrite."""
        return self.data is DataKind.PRESENT


@dataclass(frozen=True)
class Server:
    """A server as declared, at its place."""

    machine: Machine
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def spec(self) -> ServerSpec:
        """The server as data."""
        return self.machine.spec

    @cached_property
    def texts(self) -> dict[str, str]:
        """Path -> content of every file of the spec, secrets filled in."""
        places = self.machine.location.placeholders
        return {file.path: rendering.text(file, self.spec, places, self.secrets) for file in self.spec.files}

    def ask(self, timeout: float) -> Answer:
        """What the running server answers within about so many seconds. Raises as a Probe does."""
        return self.spec.load_probe()(self.machine.location.endpoint(), self.secrets, timeout, files=self.texts)

    @cached_property
    def applied(self) -> Applied:
        """What the server should have read."""
        spec, places = self.spec, self.machine.location.placeholders
        at_start = [spec.restart_key, places["host"], places["port"], *spec.start]
        at_start += [self.texts[file.path] for file in spec.files if file.restart]
        again = [self.texts[path] for path in _read_again(spec)]
        return Applied(_digest(at_start), _digest(again) if spec.reload_signal else "")


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read(server: Server) -> Facts:
    """The facts."""
    machine = server.machine
    process = machine.process()
    facts = Facts(machine.files(), machine.data(), process, problem=process.problem)
    if not process.running or process.suspended:
        return facts
    try:
        return replace(facts, problem="", **server.ask(READ_TIMEOUT)._asdict())
    except CirclePayError as error:
        if isinstance(error, CredentialsRefused):
            return replace(facts, problem=error.cause, refused=True)
        halted = machine.halted()
        return replace(facts, problem="it was stopped by a signal" if halted else error.cause, halted=halted)


@dataclass(frozen=True)
class Plan:
    """What is to be done, and the same as Changes to show. files, remove: paths. restart, reload: the running server."""

    changes: list[Change]
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    initialize: bool = False
    start: bool = False
    restart: bool = False
    reload: bool = False


def plan(facts: Facts, server: Server) -> Plan:
    """What would make the server as declared. Pure."""
    spec, process = server.spec, facts.process
    folders = _folder_reasons(facts, server)
    files = {file: reason for file in spec.files if (reason := _file_reason(file, facts, server))}
    restart = _restart_reason(facts, server) if process.running else ""
    reload = process.running and not restart and bool(spec.reload_signal) and _is_reload_due(facts, server)
    created = [Change(f"data of {spec.name}", "create", "there is none yet")]
    repairs = [Change(f"folder {name} of {spec.name}", "set", reason) for name, reason in folders.items()]
    repairs += [
        _file_change(file, reason, server, restart=bool(restart), reload=reload) for file, reason in files.items()
    ]
    foreign = _foreign(facts, spec)
    reason = "it is none of the declared files"
    removed = [Change(f"file {path} of {spec.name}", "delete", reason) for path in foreign]
    written = [*(created if not facts.has_data else repairs), *removed]
    adjusted = process.adjustments if process.running else ()  # of one that never ran they are part of its start
    if facts.halted:
        adjusted = (*adjusted, Change(f"server {spec.name}", "continue", "it was stopped by a signal"))
    return Plan(
        [*adjusted, *written, *_process_changes(facts, server, restart, reload=reload, written=written)],
        folders=tuple(folders),
        files=tuple(file.path for file in files if not file.once),
        remove=(*(file.path for file in files if file.once), *foreign),
        initialize=not facts.has_data,
        start=not process.running,
        restart=bool(restart),
        reload=reload,
    )


def _folder_reasons(facts: Facts, server: Server) -> dict[str, str]:
    names = (*PRIVATE_FOLDERS, "data") if facts.has_data else PRIVATE_FOLDERS
    return {name: reason for name in names if (reason := _difference(facts, name, PRIVATE_FOLDER, server))}


def _foreign(facts: Facts, spec: ServerSpec) -> tuple[str, ...]:
    """What somebody else put where only our files are; of a folder itself and not what is in it."""
    known = {*PRIVATE_FOLDERS, "data", APPLIED_FILE, *(file.path for file in spec.files)}
    found = sorted(facts.files.keys() - known)
    return tuple(path for path in found if not any(path.startswith(f"{other}/") for other in found))


def _file_reason(file: ServerFile, facts: Facts, server: Server) -> str:
    if file.once:
        return "it was only needed to create the data" if file.path in facts.files else ""
    return _difference(facts, file.path, FileState.of(server.texts[file.path]), server)


def _difference(facts: Facts, path: str, declared: FileState, server: Server) -> str:
    observed = facts.files.get(path)
    if observed is None:
        return "is missing"
    return observed.difference(declared, server.machine.location.user or "the user who runs this")


def _is_reload_due(facts: Facts, server: Server) -> bool:
    """Whether the server has read other files than the declared ones, or may have: one that was edited may have been loaded.

    A file of which only the mode was changed counts as well: it is written again, after which the server cannot tell it
    from one that was edited and put back.
    """
    spoilt = [path for path in _read_again(server.spec) if facts.files.get(path) != FileState.of(server.texts[path])]
    return bool(spoilt or facts.reload) or facts.process.applied.reload != server.applied.reload


def _read_again(spec: ServerSpec) -> list[str]:
    return [file.path for file in spec.files if not file.restart and not file.once]


def _file_change(file: ServerFile, reason: str, server: Server, *, restart: bool, reload: bool) -> Change:
    effect = Effect.LIVE
    if restart and file.restart and not file.once:
        effect = Effect.RESTART
    elif reload and file.path in _read_again(server.spec):
        effect = Effect.RELOAD
    subject = f"file {file.path} of {server.spec.name}"
    return Change(subject, "delete" if file.once else "write", reason, effect=effect)


def _process_changes(
    facts: Facts, server: Server, restart: str, *, reload: bool, written: list[Change]
) -> list[Change]:
    subject = f"server {server.spec.name}"
    if not facts.process.running:
        return [Change(subject, "start", "it is not running")]
    if restart:
        return [Change(subject, "restart", restart, lock="every connection is closed", effect=Effect.RESTART)]
    if reload and not any(change.effect is Effect.RELOAD for change in written):
        reason = facts.reload or "its files changed since it read them"
        return [Change(subject, "reload", reason, effect=Effect.RELOAD)]
    if not reload and not facts.version and not facts.process.suspended and not facts.halted:
        return [Change(subject, "await", f"it runs, but does not answer yet: {facts.problem}")]
    return []


def _restart_reason(facts: Facts, server: Server) -> str:
    if not facts.has_data:
        return "its data is gone"
    if facts.process.applied.restart != server.applied.restart:
        return "it was started with other settings, some of which are only read at the start"
    if facts.process.outdated:
        return facts.process.outdated
    if facts.restart:
        return facts.restart
    return f"it does not accept its credentials: {facts.problem}" if facts.refused else ""
