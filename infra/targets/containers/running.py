"""A server's container that runs: its state, its limits, and what makes both as declared.

    facts = read(...)       what the engine and the server say, never raises because the server is down
    changes = plan(...)     pure
    changes = apply(...)    read, plan and do it, finishing what a killed run began
    stop(...)               the server's own orderly way to end, never a kill

pulumi-docker makes the container and never starts it: it takes a container that does not run for one without ports.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.changes import Change, Effect
from infra.endpoint import Endpoint
from infra.errors import CirclePayError, TargetError
from infra.targets.containers import applied, archives, contents, engine, one_shot
from infra.targets.containers.applied import Keys
from infra.targets.containers.ownership import inspected
from infra.targets.containers.site import FILES_ROOT, Site, argv
from infra.targets.server_logs import masked
from infra.targets.spec import CredentialsRefused, ServerSpec

if TYPE_CHECKING:
    from docker import APIClient

POLL = 0.05
"""Seconds between two looks at a server that is starting or stopping."""
READ_TIMEOUT = 5.0
"""Seconds a server has to answer when its state is read."""
START_TIMEOUT = 2.0
"""Seconds one probe may take while a server starts."""
RUNNING, PAUSED, RESTARTING = "running", "paused", "restarting"
UNHEALTHY = "unhealthy"
MEBIBYTE = 1024 * 1024
CREDENTIALS_FILE = "credentials"


@dataclass(frozen=True)
class Limits:
    """What a container may use; 0 is no limit. memory: bytes, swap included. nano_cpus: billionths of a processor."""

    memory: int = 0
    nano_cpus: int = 0
    pids: int = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Limits:
        """From memory, nanoCpus and pids, which come back from the engine as floats."""
        return cls(int(value["memory"]), int(value["nanoCpus"]), int(value["pids"]))

    @property
    def update(self) -> dict[str, int]:
        """The engine's words: https://docs.docker.com/reference/api/engine/ `ContainerUpdate`; -1 takes a limit away."""
        return {
            "Memory": self.memory,
            "MemorySwap": self.memory or -1,
            "NanoCpus": self.nano_cpus,
            "PidsLimit": self.pids or -1,
        }

    def shown(self) -> str:
        """For people."""
        parts = [
            f"memory {self.memory // MEBIBYTE} MiB" if self.memory else "memory without a limit",
            f"{self.nano_cpus / 1e9:g} processors" if self.nano_cpus else "every processor",
            f"{self.pids} processes" if self.pids else "processes without a limit",
        ]
        return ", ".join(parts)


@dataclass(frozen=True)
class Facts:
    """What the container looks like now.

    status: the engine's word for its state, empty when there is none. applied: what it has read. connected: it is on its
    network. version: what the server answered, or empty; problem: why it did not; refused: it answered, and did not
    accept its credentials.
    """

    status: str = ""
    limits: Limits = Limits()
    applied: Keys = field(default_factory=Keys)
    connected: bool = True
    version: str = ""
    problem: str = ""
    refused: bool = False


@dataclass(frozen=True)
class Work:
    """One server at work. endpoint: where whoever runs this reaches it. network: name."""

    api: APIClient
    spec: ServerSpec
    site: Site
    endpoint: Endpoint
    network: str
    limits: Limits
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def keys(self) -> Keys:
        """What the server should have read."""
        return self.contents.keys

    @property
    def contents(self) -> contents.Work:
        """The same server's files."""
        return contents.Work(self.api, self.spec, self.site, self.secrets)


def read(work: Work) -> Facts:
    """The facts."""
    found = inspected(work.api, work.site.container)
    if found is None:
        return Facts(problem="there is no container")
    status = str(found["State"]["Status"])
    version, problem, refused = _probe(work) if status == RUNNING else ("", f"its container is {status}", False)
    host = found["HostConfig"]
    return Facts(
        status=status,
        limits=Limits(host.get("Memory") or 0, host.get("NanoCpus") or 0, max(host.get("PidsLimit") or 0, 0)),
        applied=applied.noted(archives.fetch_once(work.api, work.site.container, FILES_ROOT)),
        connected=work.network in (found["NetworkSettings"].get("Networks") or {}),
        version=version,
        problem=problem,
        refused=refused,
    )


def _probe(work: Work) -> tuple[str, str, bool]:
    """The version, or why there is none and whether the credentials were refused."""
    try:
        return work.spec.load_probe()(work.endpoint, work.secrets, READ_TIMEOUT), "", False
    except CirclePayError as error:
        return "", error.cause, isinstance(error, CredentialsRefused)


def plan(facts: Facts, work: Work) -> list[Change]:
    """The changes that would make the server run as declared; pure, and empty when nothing differs."""
    name = work.spec.name
    subject, container = f"server {name}", f"container {work.site.container}"
    changes = []
    if facts.limits != work.limits:
        reason = f"it has {facts.limits.shown()}, declared are {work.limits.shown()}"
        changes.append(Change(f"limits of {container}", "set", reason))
    if not facts.connected:
        changes.append(Change(container, "connect", f"it is not on the network {work.network}"))
    if facts.status == PAUSED:
        changes.append(Change(container, "unpause", "it is paused"))
    if facts.status not in (RUNNING, PAUSED, RESTARTING):
        return [*changes, Change(subject, "start", "it is not running")]
    if reason := _restart_reason(facts, work):
        lock = "every connection is closed"
        return [*changes, Change(subject, "restart", reason, lock=lock, effect=Effect.RESTART)]
    if facts.applied.reload != work.keys.reload:
        changes.append(Change(subject, "reload", "its files changed since it read them", effect=Effect.RELOAD))
    elif not facts.version and facts.status != PAUSED:
        changes.append(Change(subject, "await", f"it runs, but does not answer yet: {facts.problem}"))
    return changes


def _restart_reason(facts: Facts, work: Work) -> str:
    if facts.applied.restart != work.keys.restart:
        return "it was started with other settings, some of which are only read at the start"
    return f"it does not accept its credentials: {facts.problem}" if facts.refused else ""


@dataclass(frozen=True)
class Outcome:
    """What it took to make a server run as declared, and the version it answers with."""

    changes: list[Change]
    version: str


def apply(work: Work, *, cancelled: threading.Event, progress: Callable[[str], None]) -> Outcome:
    """Makes the server run as declared and waits until it accepts its credentials.

    Raises TargetError or ServerError when the engine or the server refuses; what was done stays, and another apply goes
    on from there.
    """
    archives.forget(work.site.container)
    facts = read(work)
    run = _Run(work, facts, cancelled, progress)
    changes = plan(facts, work)
    if facts.limits != work.limits:
        run.limit()
    if not facts.connected:
        work.api.connect_container_to_network(work.site.container, work.network)
    if facts.status == PAUSED:
        run.unpause()
    actions = {change.action for change in changes}
    if actions & {"start", "restart"}:
        return Outcome(changes, run.start(stop="restart" in actions))
    if "reload" in actions:
        run.reload()
    return Outcome(changes, run.wait() if actions else facts.version)


@dataclass(frozen=True)
class _Run:
    """One apply at work. facts: as they were before it."""

    work: Work
    facts: Facts
    cancelled: threading.Event
    progress: Callable[[str], None]

    def limit(self) -> None:
        """All limits in one request, which the SDK has no words for."""
        work = self.work
        url = f"{work.api.base_url}/v{work.api.api_version}/containers/{work.site.container}/update"
        answer = work.api.post(url, json=work.limits.update, timeout=engine.TIMEOUT)
        if answer.status_code >= 300:
            explanation = answer.json().get("message", answer.text)
            raise engine.refused(f"limit {work.spec.name}", f"container {work.site.container}", explanation)

    def unpause(self) -> None:
        """Lets it go on, and waits for the engine to see that: what was paused is unhealthy to it until its next check."""
        work = self.work
        work.api.unpause(work.site.container)
        deadline = time.monotonic() + work.spec.start_timeout
        while _health(work) == UNHEALTHY and time.monotonic() < deadline and not self.cancelled.is_set():
            time.sleep(POLL)

    def start(self, *, stop: bool) -> str:
        """Starts the server, stopped first where it runs, and waits for it; the version it answers with.

        Where it refuses its credentials they are made true while it is stopped.
        """
        mendable, refused = bool(self.work.spec.credentials_command), self.facts.refused
        if stop:
            self.stop()
        if refused and mendable:
            self._mend_credentials()
        if self.facts.applied != self.work.keys:
            self._note()
        self._start()
        try:
            return self.wait()
        except CredentialsRefused:
            if refused or not mendable:
                raise
            self.stop()
            self._mend_credentials()
            self._start()
            return self.wait()

    def _start(self) -> None:
        work = self.work
        self.progress(f"starting {work.spec.name} on {work.endpoint}")
        work.api.start(work.site.container)

    def stop(self) -> None:
        stop(self.work.api, self.work.spec, self.work.site.container, progress=self.progress)

    def reload(self) -> None:
        """Tells the server to read its files again, from inside.

        Not by the engine's own kill: after any signal through that, the engine takes a container for one that somebody
        stopped, and does not start it again after a crash.
        """
        work = self.work
        signal = work.spec.reload_signal.removeprefix("SIG")
        made = work.api.exec_create(work.site.container, ["sh", "-c", f"kill -{signal} 1"], user=work.site.user)
        output = work.api.exec_start(made["Id"])
        if work.api.exec_inspect(made["Id"])["ExitCode"]:
            raise TargetError(
                f"reload {work.spec.name}", f"container {work.site.container}", output.decode(errors="replace").strip()
            )
        self._note()

    def _note(self) -> None:
        """Says what the server reads now."""
        contents.write(self.work.contents, self.work.keys.note)

    def wait(self) -> str:
        """Waits until the server accepts its credentials; the version it answers with.

        Raises TargetError when it ends or takes too long.
        """
        work = self.work
        probe = work.spec.load_probe()
        deadline = time.monotonic() + work.spec.start_timeout
        first = _restarts(work)
        while True:
            try:
                return probe(work.endpoint, work.secrets, START_TIMEOUT)
            except CredentialsRefused:
                raise
            except CirclePayError as error:
                problem = error.cause
            self._still_alive(first)
            self._still_patient(deadline, problem)
            time.sleep(POLL)

    def _still_alive(self, first: int) -> None:
        """Raises TargetError when the server has ended, though the engine may have started it again meanwhile."""
        work = self.work
        found = inspected(work.api, work.site.container)
        state = found["State"]["Status"] if found else "gone"
        if state == RUNNING and _restarts(work) == first:
            return
        text = one_shot.tail(work.api, work.site.container, work.secrets) if found else "    (its container is gone)"
        raise TargetError(
            f"start {work.spec.name}",
            f"container {work.site.container}",
            f"it ended at once; the end of its log:\n{text}",
            f"the whole log: circlepay logs --server {work.spec.name}",
        )

    def _still_patient(self, deadline: float, problem: str) -> None:
        work = self.work
        operation, where = f"wait for {work.spec.name}", str(work.endpoint)
        if self.cancelled.is_set():
            raise TargetError(operation, where, "cancelled; the server goes on starting", "run `up` again")
        if time.monotonic() > deadline:
            text = one_shot.tail(work.api, work.site.container, work.secrets)
            raise TargetError(
                operation,
                where,
                f"it has not answered for {work.spec.start_timeout:.0f} s: {problem}\n{text}",
                "it goes on starting; run `up` again to wait on",
            )

    def _mend_credentials(self) -> None:
        """Makes the declared credentials true on the stopped server."""
        work = self.work
        operation = f"mend the credentials of {work.spec.name}"
        self.progress(operation)
        command = argv(work.spec, work.spec.credentials_command, work.site.places)
        fed = ("sh", "-c", f'exec "$@" <{one_shot.ONCE_FOLDER}/{CREDENTIALS_FILE}', "feed", *command)
        text = work.spec.credentials_text(work.secrets)
        code, output = one_shot.run(work.api, work.site, fed, "credentials", once={CREDENTIALS_FILE: text})
        if code:
            raise TargetError(operation, f"container {work.site.container}", masked(output, work.secrets).strip())


def _health(work: Work) -> str:
    """The engine's word for the container's health, empty where it has none."""
    found = inspected(work.api, work.site.container)
    return str((found["State"].get("Health") or {}).get("Status", "")) if found else ""


def _restarts(work: Work) -> int:
    """How often the engine has started the container again by itself."""
    found = inspected(work.api, work.site.container)
    return int(found["RestartCount"]) if found else -1


def stop(api: APIClient, spec: ServerSpec, container: str, *, progress: Callable[[str], None]) -> None:
    """Ends the server in its own orderly way and waits for it. Nothing happens when it does not run.

    Raises TargetError when it has not ended after the spec's stop_timeout; it is never killed.
    """
    import requests

    found = inspected(api, container)
    if found is None or found["State"]["Status"] not in (RUNNING, PAUSED, RESTARTING):
        return
    if found["State"]["Status"] == PAUSED:
        api.unpause(container)
    progress(f"stopping {spec.name}")
    url = f"{api.base_url}/v{api.api_version}/containers/{container}/stop"
    try:
        # Minus one: the engine waits for as long as it takes, where any other number ends in a kill.
        answer = api.post(url, params={"t": -1}, timeout=spec.stop_timeout)
    except requests.exceptions.Timeout:
        text = one_shot.tail(api, container, {})
        raise TargetError(
            f"stop {spec.name}",
            f"container {container}",
            f"it still runs {spec.stop_timeout:.0f} s after it was told to stop\n{text}",
            "wait and run this again; it is not killed, because that can lose data",
        ) from None
    if answer.status_code not in (204, 304, 404):
        raise engine.refused(f"stop {spec.name}", f"container {container}", answer.json().get("message", answer.text))
