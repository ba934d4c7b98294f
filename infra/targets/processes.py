"""Target `processes`: servers as processes of this machine, from any ServerSpec. No product is named here.

    facts = read(...)            what is there, never raises because a server is down
    changes = plan(facts, ...)   pure: what would make it as declared, empty when nothing differs
    changes = apply(...)         read, plan and do it, under a lock, finishing what a killed run began
    stop(...)                    the server's own orderly way to end, never a kill

A server is running when its recorded process lives, and alive when it accepts its own credentials.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from infra.changes import Change, Effect
from infra.endpoint import Endpoint
from infra.errors import CirclePayError
from infra.targets import lifecycle, owned_files, process_records, rendering
from infra.targets.filesystem_errors import explained
from infra.targets.locks import exclusive
from infra.targets.placement import LOCK_TIMEOUT, Placement
from infra.targets.spec import CredentialsRefused, ServerFile, ServerSpec

FOLDERS = ("config", "secrets", "logs")
"""Folders of the servers' user, beside `data`."""
PROBE_TIMEOUT = 5.0
"""Seconds a server has to answer when its state is read."""


@dataclass(frozen=True)
class ServerFacts:
    """What one server's place looks like now.

    running: its recorded process lives. authenticates: it accepted its own credentials; refused: it answered and did
    not, while one that is only starting does neither. version: what it answered, or empty. files: path below the
    placement's folder -> state as in owned_files. restart_key: digest the process was started with. started_from,
    programs: folder of the programs it was started from, and of those it should run. has_data: its data is initialised.
    reload_pending: a reload was due when a run was killed. problem: why it does not authenticate, or empty.
    """

    running: bool = False
    authenticates: bool = False
    refused: bool = False
    version: str = ""
    pid: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    restart_key: str = ""
    started_from: str = ""
    programs: str = ""
    has_data: bool = False
    reload_pending: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Work:
    """What is to be done, and the same as Changes for people."""

    folders: tuple[str, ...] = ()
    files: tuple[ServerFile, ...] = ()
    removed: tuple[str, ...] = ()
    initialize: bool = False
    start: bool = False
    restart: bool = False
    reload: bool = False
    changes: tuple[Change, ...] = ()


def read(placement: Placement, spec: ServerSpec, secrets: Mapping[str, str], programs: Path) -> ServerFacts:
    """The facts. programs: folder of the programs it should run, empty when that is not known yet."""
    owner = placement.owner
    files = {name: owned_files.folder_state(placement.sub(name), owner) for name in (*FOLDERS, "data")}
    files |= {file.path: owned_files.file_state(placement.folder / file.path, owner) for file in spec.files}
    record = process_records.read(placement.record)
    running = record is not None and record.alive
    version, problem, refused = _probe(placement, spec, secrets) if running else ("", "it is not running", False)
    return ServerFacts(
        running=running,
        authenticates=bool(version),
        refused=refused,
        version=version,
        pid=record.pid if record is not None and running else None,
        files=files,
        restart_key=record.restart_key if record is not None and running else "",
        started_from=record.programs if record is not None and running else "",
        programs="" if programs == Path() else str(programs),
        has_data=lifecycle.has_data(placement, spec),
        reload_pending=lifecycle.reload_marker(placement).exists(),
        problem=problem,
    )


def plan(facts: ServerFacts, spec: ServerSpec, secrets: Mapping[str, str], placement: Placement) -> list[Change]:
    """The changes that would make the server as declared; pure, and empty when nothing differs."""
    return list(decide(facts, spec, secrets, placement).changes)


def decide(facts: ServerFacts, spec: ServerSpec, secrets: Mapping[str, str], placement: Placement) -> Work:
    """The work that `plan` shows and `apply` does; pure."""
    folders = {name: reason for name in (*FOLDERS, "data") if (reason := _folder_reason(name, facts, placement))}
    declared = {file: _declared_file(file, spec, secrets, placement) for file in spec.files}
    files = {file: reason for file in spec.files if (reason := _file_reason(file, facts, declared[file], placement))}
    written = tuple(file for file in files if not file.once)
    restart = _restart_reason(facts, spec, secrets, placement) if facts.running else ""
    due = facts.reload_pending or any(not file.restart for file in written)
    work = Work(
        folders=tuple(folders),
        files=written,
        removed=tuple(file.path for file in files if file.once),
        initialize=not facts.has_data,
        start=not facts.running,
        restart=bool(restart),
        reload=facts.running and not restart and bool(spec.reload_signal) and due,
    )
    created = [Change(f"data of {spec.name}", "create", "there is none yet")]
    mended = [Change(f"folder {name} of {spec.name}", "set", reason) for name, reason in folders.items()]
    mended += [_file_change(file, reason, spec, facts) for file, reason in files.items()]
    process = _process_changes(work, facts, spec, restart)
    return replace(work, changes=(*(created if work.initialize else mended), *process))


def _file_change(file: ServerFile, reason: str, spec: ServerSpec, facts: ServerFacts) -> Change:
    effect = Effect.LIVE
    if facts.running and not file.once:
        effect = Effect.RESTART if file.restart else Effect.RELOAD if spec.reload_signal else Effect.LIVE
    return Change(f"file {file.path} of {spec.name}", "delete" if file.once else "write", reason, effect=effect)


def _process_changes(work: Work, facts: ServerFacts, spec: ServerSpec, restart_reason: str) -> list[Change]:
    subject = f"server {spec.name}"
    if work.start:
        return [Change(subject, "start", "it is not running")]
    if work.restart:
        return [Change(subject, "restart", restart_reason, lock="every connection is closed", effect=Effect.RESTART)]
    if work.reload and not work.files:
        return [Change(subject, "reload", "a run was ended before it could", effect=Effect.RELOAD)]
    if not facts.authenticates:
        return [Change(subject, "await", f"it runs, but does not answer yet: {facts.problem}")]
    return []


def apply(
    placement: Placement,
    spec: ServerSpec,
    secrets: Mapping[str, str],
    programs: Path,
    *,
    cancelled: threading.Event,
    progress: Callable[[str], None],
) -> list[Change]:
    """Makes the server as declared and waits until it accepts its credentials; returns what it changed.

    Raises TargetError or ServerError when the machine or the server refuses; what was done stays, and another apply
    goes on from there.
    """
    operation = f"bring up {spec.name}"
    with explained(operation, placement.folder):
        lock = exclusive(placement.folder / "lock", operation, timeout=LOCK_TIMEOUT, cancelled=cancelled)
        with lock as descriptor:
            run = lifecycle.Run(placement, spec, secrets, programs, descriptor, cancelled, progress)
            facts = read(placement, spec, secrets, programs)
            work = decide(facts, spec, secrets, placement)
            if work.start or work.restart:
                run.check()
            _prepare(run, work)
            if work.restart:
                run.stop()
            if work.initialize:
                run.initialize()
            if work.start or work.restart:
                _start(run, refused=facts.refused)
            else:
                if work.reload:
                    run.reload()
                if not facts.authenticates:
                    run.wait()
            run.note_spec()
    return list(work.changes)


def stop(placement: Placement, spec: ServerSpec, *, progress: Callable[[str], None]) -> None:
    """Ends the server in its own orderly way and waits for it. Nothing happens when it does not run.

    Raises TargetError when it has not ended after the spec's stop_timeout; it is never killed.
    """
    operation = f"stop {spec.name}"
    with (
        explained(operation, placement.folder),
        exclusive(placement.folder / "lock", operation, timeout=LOCK_TIMEOUT) as lock,
    ):
        lifecycle.Run(placement, spec, {}, Path(), lock, threading.Event(), progress).stop()


def _start(run: lifecycle.Run, *, refused: bool) -> None:
    """Starts the server; where it would not accept its credentials, they are made true while it is stopped."""
    key = rendering.restart_digest(run.spec, run.placement, run.secrets)
    mendable = bool(run.spec.credentials_command)
    if refused and mendable:
        run.mend_credentials()
    try:
        run.start(key)
    except CredentialsRefused:
        if refused or not mendable:
            raise
        run.stop()
        run.mend_credentials()
        run.start(key)


def _prepare(run: lifecycle.Run, work: Work) -> None:
    """Folders and files, and before a file that wants a reload a note that it is due, in case this run is killed."""
    placement, owner = run.placement, run.placement.owner
    lifecycle.make_run_folder(placement)
    for name in work.folders:
        owned_files.make_folder(placement.sub(name), owner)
    for name in ("config", "secrets"):
        owned_files.sweep(placement.sub(name))
    if work.reload:
        lifecycle.reload_marker(placement).touch()
    for file in work.files:
        text = rendering.content(file, run.spec, placement, run.secrets)
        owned_files.write(placement.folder / file.path, text, owner)
    for path in work.removed:
        (placement.folder / path).unlink(missing_ok=True)


def _probe(placement: Placement, spec: ServerSpec, secrets: Mapping[str, str]) -> tuple[str, str, bool]:
    """The version, or why there is none and whether the credentials were refused."""
    try:
        return spec.load_probe()(Endpoint(placement.host, placement.port), secrets, PROBE_TIMEOUT), "", False
    except CirclePayError as error:
        return "", error.cause, isinstance(error, CredentialsRefused)


def _folder_reason(name: str, facts: ServerFacts, placement: Placement) -> str:
    if name == "data" and not facts.has_data:
        return ""
    state = facts.files.get(name, owned_files.ABSENT)
    return owned_files.difference(state, owned_files.declared_folder(), _user(placement))


def _declared_file(file: ServerFile, spec: ServerSpec, secrets: Mapping[str, str], placement: Placement) -> str:
    if file.once:
        return owned_files.ABSENT
    return owned_files.declared_file(rendering.content(file, spec, placement, secrets))


def _file_reason(file: ServerFile, facts: ServerFacts, declared: str, placement: Placement) -> str:
    state = facts.files.get(file.path, owned_files.ABSENT)
    if file.once and state != declared:
        return "it was only needed to create the data"
    return owned_files.difference(state, declared, _user(placement))


def _user(placement: Placement) -> str:
    return placement.system_user or "the user who runs this"


def _restart_reason(facts: ServerFacts, spec: ServerSpec, secrets: Mapping[str, str], placement: Placement) -> str:
    if not facts.has_data:
        return "its data is gone"
    if facts.restart_key != rendering.restart_digest(spec, placement, secrets):
        return "it was started with other settings, some of which are only read at the start"
    if facts.programs and facts.programs != facts.started_from:
        return f"it runs the programs of {facts.started_from}, declared are those of {facts.programs}"
    if facts.refused:
        return f"it does not accept its credentials: {facts.problem}"
    return ""
