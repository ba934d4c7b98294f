"""What a container engine can do for one server: files on a volume, data initialised aside, a container that is started.

pulumi-docker makes the container and never starts it: it takes a container that does not run for one without ports.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from infra.changes import Change
from infra.errors import TargetError
from infra.files import BEGINNING
from infra.targets import ports
from infra.targets.docker import archives, engine, one_shot
from infra.targets.docker.container_location import FILE_FOLDERS, FILES_ROOT, ContainerLocation, argv
from infra.targets.docker.limits import Limits
from infra.targets.docker.logs import inspected_or_refused
from infra.targets.docker.ownership import inspected, inspected_volume, refuse_foreign
from infra.targets.location import Location
from infra.targets.machine import (
    APPLIED_FILE,
    FOLDER,
    FOLDER_MODE,
    Applied,
    DataKind,
    FileState,
    Output,
    ProcessState,
    Titles,
)
from infra.targets.spec import ServerSpec

if TYPE_CHECKING:
    from docker import APIClient

POLL = 0.05
"""Seconds between two looks at a container's health."""
INITIALIZE_SECONDS = 300.0
"""The longest an initialisation may take."""
RUNNING, PAUSED, RESTARTING, CREATED = "running", "paused", "restarting", "created"
EXISTING = (RUNNING, PAUSED, RESTARTING)
UNHEALTHY = "unhealthy"
NOT_LISTED = ("", "run", APPLIED_FILE)
"""What is ours on the files' volume and no part of the states: its root, the record and the record's folder."""
MARK = ".circlepay"
"""File in a data folder that was not initialised by its server."""


@dataclass(frozen=True)
class ContainerMachine:
    """One server's container and volumes on the engine behind `api`."""

    api: APIClient
    location: Location
    spec: ServerSpec

    @cached_property
    def container(self) -> ContainerLocation:
        """The server's parts on the engine."""
        return ContainerLocation.of(self.location)

    @property
    def titles(self) -> Titles:
        return Titles(
            place=f"container {self.container.container}",
            data=f"volume {self.container.data_volume}",
            programs="this image",
            setting=f"circlepay:docker.{self.spec.name}Image",
            log_hint=f"the whole log: circlepay logs --server {self.spec.name}",
            initialization_hint="see its output; the usual causes are a locale that the image lacks and a full disk",
        )

    @property
    def programs_folder(self) -> str:
        return ""

    @property
    def _network(self) -> str:
        return self.location.names["network"]

    @property
    def _initializer(self) -> str:
        """Name of the container that initialises data: while there is one, the data is not complete."""
        return f"{self.container.container}-initialize"

    @cached_property
    def _processors(self) -> int:
        return int(self.api.info()["NCPU"])

    @contextmanager
    def exclusive(self, operation: str, cancelled: threading.Event) -> Iterator[None]:
        """No lock: two runs on one engine are two runs of one stack, which Pulumi locks. Refuses another owner's container."""
        found = inspected(self.api, self.container.container)
        if found is not None:
            name, own = self.container.container, self.container.labels
            refuse_foreign(operation, "container", name, found["Config"]["Labels"], own)
        one_shot.sweep(self.api, self.container)
        archives.forget(self.container.container)
        yield

    @contextmanager
    def _file_access(self) -> Iterator[str | None]:
        """A container through which the volumes can be read: the server's own, or one that never runs."""
        volumes = (self.container.data_volume, self.container.files_volume)
        if inspected(self.api, self.container.container) is not None:
            yield self.container.container
        elif any(inspected_volume(self.api, name) is None for name in volumes):
            yield None
        else:
            with one_shot.file_access(self.api, self.container) as container:
                yield container

    def files(self) -> dict[str, FileState]:
        with self._file_access() as container:
            if container is None:
                return {}
            states = archives.states(self._archive(container), self.container.owner)
            mode = archives.mode_of(self.api, container, self.container.data)
        found = {path: state for path, state in states.items() if path not in NOT_LISTED}
        return found if mode is None else {**found, "data": FileState(FOLDER, mode)}

    def _archive(self, container: str) -> bytes | None:
        """The archive of the files; None, without asking for one, where there are none: an engine takes long to pack it."""
        paths = [f"{FILES_ROOT}/{folder}" for folder in FILE_FOLDERS]
        if all(archives.mode_of(self.api, container, path) is None for path in paths):
            return None
        return archives.fetch_once(self.api, container, FILES_ROOT)

    def data(self) -> DataKind:
        if inspected(self.api, self._initializer) is not None:
            return DataKind.UNFINISHED
        sign = self.spec.data_format.file or MARK
        with self._file_access() as container:
            if container is None:
                return DataKind.ABSENT
            if archives.mode_of(self.api, container, f"{self.container.data}/{sign}") is not None:
                return DataKind.PRESENT
            is_empty = archives.is_empty(self.api, container, self.container.data)
        return DataKind.ABSENT if is_empty else DataKind.PRESENT

    def data_version(self) -> str | None:
        with self._file_access() as container:
            if container is None:
                return None
            path = f"{self.container.data}/{self.spec.data_format.file}"
            text = archives.read_text(self.api, container, path)
        return None if text is None else text.strip()

    def beginning(self, path: str) -> str:
        where = f"{self.container.data}/{path}"
        with self._file_access() as container:
            if container is None or archives.mode_of(self.api, container, where) is None:
                return ""
        code, text = one_shot.run(self.api, self.container, ("head", "-c", str(BEGINNING), where), "version")
        return "" if code else text

    def process(self) -> ProcessState:
        found = inspected(self.api, self.container.container)
        if found is None:
            return ProcessState(problem="there is no container")
        status = str(found["State"]["Status"])
        is_well = status in (RUNNING, PAUSED)
        return ProcessState(
            running=status in EXISTING,
            suspended=status == PAUSED,
            identity=f"{found['Id']}/{found['RestartCount']}" if is_well else "",
            problem="" if status == RUNNING else f"its container is {status}",
            applied=self._applied(),
            adjustments=tuple(self._adjustments(found)),
        )

    def _applied(self) -> Applied:
        archive = self._archive(self.container.container)
        return Applied.from_text(archives.text_in(archive, APPLIED_FILE)) or Applied()

    def _adjustments(self, found: Mapping[str, Any]) -> Iterator[Change]:
        title = self.titles.place
        observed, declared = Limits.observed(found["HostConfig"], self._processors), Limits.of(self.location.limits)
        if observed != declared:
            yield Change(f"limits of {title}", "set", f"it has {observed}, declared: {declared}")
        networks = found["NetworkSettings"].get("Networks") or {}
        if self._network not in networks:
            yield Change(title, "connect", f"it is not on the network {self._network}")
        others = ", ".join(sorted(networks.keys() - {self._network}))
        if others:
            yield Change(title, "disconnect", f"it is also on {others}, whose containers can reach it")
        if found["State"]["Status"] == PAUSED:
            yield Change(title, "unpause", "it is paused")

    def halted(self) -> bool:
        """By the engine's own look at its processes; an engine that cannot tell says no."""
        from docker.errors import APIError

        try:
            shown = self.api.top(self.container.container, "-o pid,stat")
        except APIError:
            return False
        return any(str(row[1]).startswith("T") for row in shown["Processes"])

    def resume(self) -> None:
        """From inside, as for a reload."""
        self._run_inside("kill -CONT 1; kill -CONT -1")

    def adjust(self) -> None:
        found = inspected(self.api, self.container.container)
        if found is None:
            return
        actions = {change.action for change in self._adjustments(found)}
        if "set" in actions:
            self._limit(Limits.observed(found["HostConfig"], self._processors))
        if "connect" in actions:
            self.api.connect_container_to_network(self.container.container, self._network)
        if "disconnect" in actions:
            for other in set(found["NetworkSettings"]["Networks"]) - {self._network}:
                self.api.disconnect_container_from_network(self.container.container, other)
        if "unpause" in actions:
            self._unpause()

    def _limit(self, observed: Limits) -> None:
        """Sets all limits in one request, which the SDK does not offer."""
        name, limits = self.container.container, Limits.of(self.location.limits)
        url = f"{self.api.base_url}/v{self.api.api_version}/containers/{name}/update"
        answer = self.api.post(url, json=limits.update(observed, self._processors), timeout=engine.TIMEOUT)
        if answer.status_code >= 300:
            explanation = answer.json().get("message", answer.text)
            raise engine.refused(f"limit {self.spec.name}", self.titles.place, explanation)

    def _unpause(self) -> None:
        """Lets it go on, and waits for the engine to see that: what was paused is unhealthy to it until its next check."""
        self.api.unpause(self.container.container)
        deadline = time.monotonic() + self.spec.start_timeout
        while self._health() == UNHEALTHY and time.monotonic() < deadline:
            time.sleep(POLL)

    def _health(self) -> str:
        """The container's health as the engine names it, empty where it has none."""
        found = inspected(self.api, self.container.container)
        return str((found["State"].get("Health") or {}).get("Status", "")) if found else ""

    def write(self, files: Mapping[str, str], *, folders: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Through a container that never runs: the server's own may not write its files. Files for once are on no volume."""
        archives.forget(self.container.container)
        if remove:
            one_shot.delete(self.api, self.container, remove)
        with one_shot.file_access(self.api, self.container) as container:
            self.api.put_archive(container, FILES_ROOT, archives.packed(files, FILE_FOLDERS, self.container.owner))
            if "data" in folders:
                self._own_data(container)

    def _own_data(self, container: str) -> None:
        """Gives the data's folder, and what the volume holds above it, to the server's user and to no other.

        Where nothing is initialised a file keeps the volume from being empty: the engine gives an empty one the mode of the
        image's folder each time it makes a container, and pulumi-docker cannot tell it not to.
        """
        data, mount = PurePosixPath(self.container.data), PurePosixPath(self.container.data_mount)
        below = [path for path in reversed([data, *data.parents]) if path.is_relative_to(mount)]
        folders = tuple(str(path.relative_to(mount.parent)) for path in below)
        files = {} if self.spec.initialize else {f"{folders[-1]}/{MARK}": ""}
        self.api.put_archive(container, str(mount.parent), archives.packed(files, folders, self.container.owner))

    def check_start(self) -> bool:
        """There is a container. The engine refuses an address that is taken, and names it."""
        inspected_or_refused(self.api, self.container.container, f"start {self.spec.name}")
        where = self.location
        if not where.via and not ports.claim(where.claimant, where.host, where.port):
            hint = f"wait for that run and run `up` again, or set circlepay:{self.spec.name}.port to another port"
            address = where.names["published"]
            raise TargetError(f"start {self.spec.name}", address, ports.unavailable(where.host, where.port), hint)
        return True

    def is_listening(self) -> bool:
        """The engine has taken the address before it starts the container."""
        return True

    def initialize(self, once: Mapping[str, str], cancelled: threading.Event) -> Output:
        """In a container with a name: while there is one of that name, the data is not complete."""
        leftover = inspected(self.api, self._initializer)
        if leftover is not None and self._finishes(leftover, cancelled):
            return Output(0, "")
        with one_shot.file_access(self.api, self.container) as container:
            if archives.mode_of(self.api, container, self.container.data) != FOLDER_MODE:
                self._own_data(container)
        files = {PurePosixPath(path).name: text for path, text in once.items()}
        placeholders = {**self.location.placeholders, "secrets": one_shot.ONCE_FOLDER}
        command = argv(self.spec, self.spec.initialize, placeholders)
        made = one_shot.create(self.api, self.container, command, "initialize", name=self._initializer)
        one_shot.put_once(self.api, made, self.container, files)
        self.api.start(made)
        code = self._ended(cancelled)
        text = one_shot.output(self.api, self._initializer) if code else ""
        if code:
            self._empty_data()
        one_shot.remove(self.api, self._initializer)
        return Output(code, text)

    def _finishes(self, leftover: Mapping[str, Any], cancelled: threading.Event) -> bool:
        """Whether an initialisation that a killed run left comes to its end; else what it began is removed.

        One of this name was only ever made when there was nothing in the folder.
        """
        finished = leftover["State"]["Status"] != CREATED and self._ended(cancelled) == 0
        if not finished:
            self._empty_data()
        one_shot.remove(self.api, self._initializer)
        return finished

    def _ended(self, cancelled: threading.Event) -> int:
        def refuse(cause: str) -> TargetError:
            return TargetError(
                f"initialise {self.spec.name}", f"container {self._initializer}", cause, "run `up` again"
            )

        return one_shot.ended(
            self.api, self._initializer, patience=INITIALIZE_SECONDS, cancelled=cancelled, refuse=refuse
        )

    def _empty_data(self) -> None:
        """Removes what an initialisation left that never came to its end; there was nothing before it."""
        one_shot.empty(self.api, self.container, f"initialise {self.spec.name}")

    def run_once(self, words: tuple[str, ...], role: str, given: str = "") -> Output:
        command = argv(self.spec, words, self.location.placeholders)
        if given:
            command = ["sh", "-c", f'exec "$@" <{one_shot.ONCE_FOLDER}/{role}', "feed", *command]
        once = {role: given} if given else None
        return Output(*one_shot.run(self.api, self.container, command, role, once=once))

    def start(self) -> None:
        self.api.start(self.container.container)

    def stop(self) -> None:
        found = inspected(self.api, self.container.container)
        if found is not None and found["State"]["Status"] in EXISTING:
            if found["State"]["Status"] == PAUSED:
                self.api.unpause(self.container.container)
            self._stop()
        self._discard_unfinished()

    def _stop(self) -> None:
        import requests

        url = f"{self.api.base_url}/v{self.api.api_version}/containers/{self.container.container}/stop"
        operation = f"stop {self.spec.name}"
        try:
            # Minus one: the engine waits for as long as it takes, where any other number ends in a kill.
            answer = self.api.post(url, params={"t": -1}, timeout=self.spec.stop_timeout)
        except requests.exceptions.Timeout:
            raise TargetError(
                operation,
                self.titles.place,
                f"it still runs {self.spec.stop_timeout:.0f} s after it was told to stop\n{self.last_lines({})}",
                "wait and run this again; it is not killed, because that can lose data",
            ) from None
        if answer.status_code not in (204, 304, 404):
            raise engine.refused(operation, self.titles.place, answer.json().get("message", answer.text))

    def _discard_unfinished(self) -> None:
        """Ends an initialisation that a killed run left, and deletes its data: only that container shows it is unfinished."""
        leftover = inspected(self.api, self._initializer)
        if leftover is None:
            return
        whole = one_shot.succeeded(leftover["State"])
        one_shot.stop_at_once(self.api, self._initializer)
        if not whole and inspected_volume(self.api, self.container.data_volume) is not None:
            self._empty_data()
        one_shot.remove(self.api, self._initializer)

    def reload(self) -> None:
        """From inside: after a signal through the engine's own kill, the engine takes the container for one that was stopped,
        and does not start it again after a crash.
        """
        self._run_inside(f"kill -{self.spec.reload_signal.removeprefix('SIG')} 1")

    def _run_inside(self, script: str) -> None:
        name = self.container.container
        made = self.api.exec_create(name, ["sh", "-c", script], user=self.container.user)
        output = self.api.exec_start(made["Id"])
        if self.api.exec_inspect(made["Id"])["ExitCode"]:
            cause = output.decode(errors="replace").strip()
            raise TargetError(f"signal {self.spec.name}", self.titles.place, cause)

    def last_lines(self, secrets: Mapping[str, str]) -> str:
        if inspected(self.api, self.container.container) is None:
            return "    (its container is gone)"
        return one_shot.tail(self.api, self.container.container, secrets)
