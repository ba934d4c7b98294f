"""The lifecycle of one server on any target, over its Machine. No product and no target is named here.

    outcome = apply(server)    read, plan and do it, finishing what a killed run began
    restart(server), stop(server)

The server is never killed. What would make its start fail is looked for before a running one is stopped; where one fails all
the same, the server is started again as it was declared before.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from infra.changes import Change
from infra.errors import CirclePayError, TargetError
from infra.targets.machine import APPLIED_FILE, Applied, Machine
from infra.targets.server import Facts, Plan, Server, plan, read
from infra.targets.server_logs import end_of
from infra.targets.spec import CredentialsRefused

POLL = 0.02
"""Seconds between two looks at a server that is starting."""
RETRY_SECONDS = 10.0
"""How long a start after a crash is tried again: children of the dead server may still hold its data."""
RETRY_PAUSE = 0.2
START_TIMEOUT = 2.0
"""Seconds one probe may take while a server starts."""


Previous = Callable[[], AbstractContextManager[Server | None]]
"""Opens the server as it was declared before; None where its place is gone."""


class StartFailed(TargetError):  # noqa: N818 - as CredentialsRefused: a state of the server
    """The server's process ended before it answered."""


@dataclass(frozen=True)
class Outcome:
    """The changes that made a server as declared, and the version it answers with."""

    changes: list[Change]
    version: str


def apply(
    server: Server, *, cancelled: threading.Event, progress: Callable[[str], None], previous: Previous | None = None
) -> Outcome:
    """Makes the server as declared and waits until it accepts its credentials.

    Raises TargetError or ServerError when the machine or the server refuses; what was done stays, and another apply goes
    on from there. previous: what is started again, before that error is raised, where a server that ran was stopped and
    did not start.
    """
    with server.machine.exclusive(f"bring up {server.spec.name}", cancelled):
        facts = read(server)
        run = _Run(server, facts, cancelled, progress)
        try:
            return run.carry_out(plan(facts, server))
        except CirclePayError as error:
            if previous is None or not run.was_lost(error):
                raise
            server.machine.stop()  # an engine may be about to try again
            failed = error
    with previous() as former:
        if former is None:
            raise failed
        raise _brought_back(former, failed, cancelled, progress) from failed


def _brought_back(
    former: Server, failed: CirclePayError, cancelled: threading.Event, progress: Callable[[str], None]
) -> TargetError:
    """Starts the server as it was declared before; what failed, with how that went."""
    name = former.spec.name
    progress(f"starting {name} again as it was before")
    try:
        apply(former, cancelled=cancelled, progress=progress)
        outcome = f"{name} runs again as it was before this change"
    except CirclePayError as error:
        outcome = f"{name} is down: as it was before this change it could not be started either: {error.cause}"
    return TargetError(failed.operation, failed.path, f"{failed.cause}\n{outcome}", failed.hint)


def restart(server: Server, *, cancelled: threading.Event, progress: Callable[[str], None]) -> str:
    """Stops the server and starts it with its files as declared, whatever is there; the version it answers with.

    Raises as `apply` does; before the server is stopped where the next start would fail.
    """
    machine = server.machine
    with machine.exclusive(f"restart {server.spec.name}", cancelled):
        facts = read(server)
        run = _Run(server, facts, cancelled, progress)
        run.check()
        if facts.process.running:
            run.stop()
        kept = [file.path for file in server.spec.files if not file.once]
        machine.write({path: server.texts[path] for path in kept})
        stopped = read(server)
        return _Run(server, stopped, cancelled, progress).carry_out(plan(stopped, server)).version


def stop(server: Server, *, progress: Callable[[str], None]) -> None:
    """Ends the server in its own orderly way and waits for it. Nothing happens when it does not run.

    Raises TargetError when it has not ended after the spec's stop_timeout; it is never killed.
    """
    cancelled = threading.Event()
    with server.machine.exclusive(f"stop {server.spec.name}", cancelled):
        process = server.machine.process()
        _Run(server, Facts(process=process), cancelled, progress).stop()


def check_format(machine: Machine) -> None:
    """Raises TargetError when the data was made by another version than the programs', or is not data."""
    spec, titles = machine.spec, machine.titles
    if spec.data_format.snapshot:
        _check_snapshot(machine)
    if not spec.data_format.file:
        return
    made_by = machine.data_version()
    if made_by is None:
        raise TargetError(
            f"start {spec.name}",
            titles.data,
            f"there are files in it, but no {spec.data_format.file}: this is not data of {spec.name}",
            "nothing was touched; restore what is missing from a backup, or begin with empty data: `make down DATA=delete`",
        )
    version = _program_version(machine)
    if made_by != version:
        raise TargetError(
            f"start {spec.name}",
            titles.data,
            f"the data in it was made by version {made_by}, {titles.programs} is version {version}",
            f"set {titles.setting} back to version {made_by}; to change the version, dump the data with the old server and "
            "load it with the new one: docs/troubleshooting.md",
        )


def _check_snapshot(machine: Machine) -> None:
    spec, titles, snapshot = machine.spec, machine.titles, machine.spec.data_format.snapshot
    beginning = machine.beginning(snapshot)
    if not beginning:
        return
    problem = spec.unreadable(beginning, machine.run_once(spec.data_format.version_command, "version").text)
    if problem:
        raise TargetError(
            f"start {spec.name}",
            titles.data,
            f"its snapshot {snapshot} cannot be read by {titles.programs}: {problem}",
            f"nothing was touched; set {titles.setting} back to the programs that wrote it",
        )


def check_requirement(machine: Machine) -> None:
    """Raises TargetError when the programs are older than the data needs that they are to make."""
    needed, titles = machine.spec.requirement, machine.titles
    if not needed.version:
        return
    version = _program_version(machine)
    if int(version) < needed.version:
        cause = f"{needed.cause}, and {titles.programs} is version {version}"
        raise TargetError(f"make the data of {machine.spec.name}", needed.setting, cause, needed.hint)


def _program_version(machine: Machine) -> str:
    """The part of the programs' version that data depends on. Raises TargetError when their output has none."""
    spec = machine.spec
    output = machine.run_once(spec.data_format.version_command, "version")
    found = re.search(spec.data_format.version_pattern, output.text)
    if found is None:
        cause = f"no version in its output: {output.text.strip()}"
        raise TargetError(f"ask {spec.name} for its version", machine.titles.programs, cause)
    return found[1]


@dataclass(frozen=True)
class _Run:
    """One apply. facts: as they were before it."""

    server: Server
    facts: Facts
    cancelled: threading.Event
    progress: Callable[[str], None]

    @property
    def _machine(self) -> Machine:
        return self.server.machine

    @property
    def _name(self) -> str:
        return self.server.spec.name

    def carry_out(self, plan: Plan) -> Outcome:
        """Does what the plan says, in an order in which every step can be killed and done again."""
        process = self.facts.process
        if plan.start or plan.restart:
            self.check()
        if process.adjustments:
            self._machine.adjust()
        if self.facts.halted:
            self._machine.resume()
        recorded = self._write(plan)
        if plan.restart:
            self.stop()
        if plan.initialize:
            self._initialize()
        if plan.start or plan.restart:
            if recorded != self.server.applied:
                self._record()
            return Outcome(plan.changes, self._start())
        if plan.reload:
            self._machine.reload()
            self._record()
        return Outcome(plan.changes, self.facts.version or self._wait())

    def was_lost(self, error: CirclePayError) -> bool:
        """Whether the server ran on its data, and after this error does not, nor is about to."""
        ran = self.facts.process.running and self.facts.has_data
        return ran and (isinstance(error, StartFailed) or not self._machine.process().running)

    def check(self) -> None:
        """Everything that would make a start fail, found before a running server is stopped for it."""
        self._machine.check_start()
        if self.facts.has_data:
            check_format(self._machine)
        else:
            check_requirement(self._machine)

    def _write(self, plan: Plan) -> Applied:
        """Writes what differs and records what the server will have read: all if stopped, what stays the same if running."""
        process, declared = self.facts.process, self.server.applied
        if not (plan.folders or plan.files or plan.remove):
            return process.applied
        recorded = process.applied.agreeing(declared) if process.running else declared
        if plan.reload:  # also for a file put back that was edited: it may have been loaded
            recorded = replace(recorded, reload="")
        texts = {path: self.server.texts[path] for path in plan.files}
        self._machine.write({**texts, APPLIED_FILE: recorded.to_text()}, folders=plan.folders, remove=plan.remove)
        return recorded

    def _record(self) -> None:
        """Records that the server has read, or is about to read, everything as declared."""
        self._machine.write({APPLIED_FILE: self.server.applied.to_text()})

    def stop(self) -> None:
        """Ends the server, if it runs."""
        if self.facts.process.running:
            self.progress(f"stopping {self._name}")
            if self._machine.halted():
                self._machine.resume()  # else it would not hear that it is to stop
        self._machine.stop()

    def _initialize(self) -> None:
        spec = self.server.spec
        if not spec.initialize:
            self._machine.write({}, folders=("data",))
            return
        self.progress(f"initialising the data of {self._name}")
        # Importing a client library takes as long as a start: it is done while the other processor initialises.
        threading.Thread(target=spec.load_probe, daemon=True).start()
        once = {file.path: self.server.texts[file.path] for file in spec.files if file.once}
        output = self._machine.initialize(once, self.cancelled)
        if output.code:
            text, titles = end_of(output.text, self.server.secrets), self._machine.titles
            hint = self._hint(text, titles.initialization_hint)
            raise TargetError(f"initialise {self._name}", titles.data, f"it failed:\n{text}", hint)

    def _start(self) -> str:
        """Starts the server; where it does not accept its credentials, they are repaired while it is stopped."""
        repairable, refused = bool(self.server.spec.credentials_command), self.facts.refused
        if refused and repairable:
            self._repair_credentials()
        try:
            return self._started()
        except CredentialsRefused:
            if refused or not repairable:
                raise
        self._machine.stop()
        self._repair_credentials()
        return self._started()

    def _repair_credentials(self) -> None:
        """Makes the stopped server accept the declared credentials."""
        operation, spec = f"repair the credentials of {self._name}", self.server.spec
        self.progress(operation)
        given = spec.credentials_text(self.server.secrets)
        output = self._machine.run_once(spec.credentials_command, "credentials", given)
        if output.code:
            text = end_of(output.text, self.server.secrets)
            raise TargetError(operation, self._machine.titles.place, text.strip(), self._hint(text))

    def _started(self) -> str:
        """Starts the server and waits until it accepts its credentials; the version it answers with."""
        self.progress(f"starting {self._name} on {self._where}")
        give_up = time.monotonic() + RETRY_SECONDS
        while True:
            self._machine.start()
            version = self._answer()
            if version:
                return version
            if not self.facts.process.crashed or time.monotonic() > give_up:
                raise self._ended()
            time.sleep(RETRY_PAUSE)

    def _wait(self) -> str:
        """Waits for a server that runs and has not answered yet; the version it answers with."""
        self.progress(f"waiting for {self._name} on {self._where}")
        version = self._answer()
        if not version:
            raise self._ended()
        return version

    @property
    def _where(self) -> str:
        return f"{self._machine.location.host}:{self._machine.location.port}"

    def _answer(self) -> str:
        """Waits until the server accepts its credentials: the version it answers with, empty when its process ends."""
        deadline = time.monotonic() + self.server.spec.start_timeout
        first = self._machine.process().identity
        while self._still_runs(first):
            version, problem = self._probed()
            if version:
                return version if self._still_runs(first) else ""
            self._still_patient(deadline, problem)
            time.sleep(POLL)
        return ""

    def _probed(self) -> tuple[str, str]:
        """The version, or why there is none. It is asked once it listens: before, another server could get its password."""
        if not self._machine.is_listening():
            return "", "it does not listen yet"
        try:
            return self.server.ask(START_TIMEOUT).version, ""
        except CredentialsRefused:
            if self._machine.check_start():
                raise
            return "", "a leftover process of this server held the port"
        except CirclePayError as error:
            return "", error.cause

    def _still_runs(self, identity: str) -> bool:
        process = self._machine.process()
        return process.running and process.identity == identity

    def _still_patient(self, deadline: float, problem: str) -> None:
        operation = f"wait for {self._name}"
        if self.cancelled.is_set():
            raise TargetError(operation, self._where, "cancelled; the server is still starting", "run `up` again")
        if time.monotonic() > deadline:
            lines = self._machine.last_lines(self.server.secrets)
            raise TargetError(
                operation,
                self._where,
                f"it did not answer within {self.server.spec.start_timeout:.0f} s: {problem}\n{lines}",
                "it is still starting; run `up` again to keep waiting",
            )

    def _ended(self) -> StartFailed:
        text = self._machine.last_lines(self.server.secrets)
        if not self._machine.process().running:
            self._machine.stop()
            self._machine.check_start()  # raises where another program has taken its address meanwhile
        cause = f"it exited immediately; the end of its log:\n{text}"
        return StartFailed(f"start {self._name}", self._machine.titles.place, cause, self._hint(text))

    def _hint(self, text: str, otherwise: str = "") -> str:
        titles = self._machine.titles
        return titles.disk_full_hint if "no space left" in text.lower() else otherwise or titles.log_hint
