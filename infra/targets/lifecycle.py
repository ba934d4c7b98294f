"""The steps of one server's life on this machine: check, initialise, start, reload, stop.

Each can be killed and done again. Whoever calls them holds the placement's lock; children that must not be overtaken by
the next run hold it on.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from infra.endpoint import Endpoint
from infra.errors import CirclePayError, TargetError
from infra.targets import data_format, owned_files, ports, process_records, rendering
from infra.targets import launch as launcher
from infra.targets.filesystem_errors import hint
from infra.targets.placement import Placement
from infra.targets.server_logs import last_lines
from infra.targets.spec import CredentialsRefused, ServerSpec
from infra.targets.system_user import account

POLL = 0.01
"""Seconds between two looks at a server that is starting or stopping."""
RETRY = 10.0
"""Seconds in which the start after a crash is tried again: the dead server's children may still hold its data."""
PROBE_TIMEOUT = 2.0
"""Seconds one probe may take while a server starts."""
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that a server sees of the environment: nothing of the run that started it."""


def has_data(placement: Placement, spec: ServerSpec) -> bool:
    """Whether there is data; an empty folder is none where data has to be initialised."""
    data = placement.sub("data")
    try:
        return data.is_dir() and (not spec.initialize or any(data.iterdir()))
    except PermissionError:
        return True


def reload_marker(placement: Placement) -> Path:
    """Exists from before a file is written until the server was told to read it."""
    return placement.sub("run") / "reload-pending"


def make_run_folder(placement: Placement) -> None:
    """The target's own folder: records and the output of starts. The servers' user has no business in it."""
    owned_files.make_folder(placement.sub("run"), account(None))


@dataclass(frozen=True)
class Run:
    """One apply or stop at work on one server, holding its lock (an open descriptor)."""

    placement: Placement
    spec: ServerSpec
    secrets: Mapping[str, str]
    programs: Path
    lock: int
    cancelled: threading.Event
    progress: Callable[[str], None]

    def check(self) -> None:
        """Everything that would make a start fail, found before a running server is stopped for it."""
        for command in filter(None, (self.spec.start, self.spec.initialize)):
            rendering.command(command, self.spec, self.placement, self.programs)
        data_format.check(self.placement, self.spec, self.programs)
        record = process_records.read(self.placement.record)
        own = record if record is not None and record.alive else None
        if own is not None and own.endpoint == self._where:
            return
        if not ports.is_free(self.placement.host, self.placement.port):
            self._refuse_stranger(own)

    def _refuse_stranger(self, own: process_records.ProcessRecord | None) -> None:
        """The port is taken: by this very server, by one of ours that lost its record, or by somebody else."""
        found = ports.listener(self.placement.port)
        if own is not None and found.pid == own.pid:
            return
        if found.pid is not None and self._is_this_server(found.pid):
            self.progress(f"ending {self.spec.name}, pid {found.pid}, which was started by hand")
            self._end(found.pid)
            return
        raise TargetError(
            f"start {self.spec.name}",
            self._where,
            f"this port is taken by {found}",
            f"end that process, or set circlepay:{self.spec.name}.port to another port",
        )

    @property
    def _where(self) -> str:
        return f"{self.placement.host}:{self.placement.port}"

    def _is_this_server(self, pid: int) -> bool:
        """Whether the process works in our data folder, or was told to."""
        import psutil

        data = str(self.placement.sub("data"))
        try:
            process = psutil.Process(pid)
            return any(str(self.placement.folder) in word for word in process.cmdline()) or process.cwd() == data
        except psutil.Error:
            return False

    def initialize(self) -> None:
        """Makes empty data beside its place and moves it there whole."""
        data, owner = self.placement.sub("data"), self.placement.owner
        if not self.spec.initialize:
            owned_files.make_folder(data, owner)
            return
        self.progress(f"initialising the data of {self.spec.name}")
        # Importing a client library takes as long as a start: it is done while the other processor initialises.
        threading.Thread(target=self.spec.load_probe, daemon=True).start()
        partial = self.placement.folder / "data.partial"
        if partial.exists():
            shutil.rmtree(partial)
        once = [file for file in self.spec.files if file.once]
        try:
            owned_files.make_folder(partial, owner)
            for file in once:
                text = rendering.content(file, self.spec, self.placement, self.secrets)
                owned_files.write(self.placement.folder / file.path, text, owner)
            self._initialize_in(partial)
            partial.rename(data)
            owned_files.sync_folder(self.placement.folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            for file in once:
                (self.placement.folder / file.path).unlink(missing_ok=True)

    def _initialize_in(self, partial: Path) -> None:
        data = str(self.placement.sub("data"))
        command = rendering.command(self.spec.initialize, self.spec, self.placement, self.programs, data=partial)
        output = self.placement.sub("run") / "initialize.log"
        with _fresh(output) as stream:
            child = self._launch(command, stream)
            while (code := _wait(child, POLL)) is None:
                if self.cancelled.is_set():
                    child.terminate()
                    child.wait(RETRY)
                    raise TargetError(f"initialise {self.spec.name}", data, "cancelled", "run `up` again")
        if code:
            text = last_lines([output], self.secrets)
            raise TargetError(f"initialise {self.spec.name}", data, text, self._hint(text, output))

    def mend_credentials(self) -> None:
        """Makes the declared credentials true on the stopped server."""
        operation = f"mend the credentials of {self.spec.name}"
        self.progress(operation)
        self._remove_stale_files()
        command = rendering.command(self.spec.credentials_command, self.spec, self.placement, self.programs)
        output = self.placement.sub("run") / "credentials.log"
        with _fresh(output) as stream:
            child = self._launch(command, stream, stdin=subprocess.PIPE)
            child.communicate(self.spec.credentials_text(self.secrets).encode(), timeout=self.spec.start_timeout)
        if child.returncode:
            text = last_lines([output], self.secrets)
            raise TargetError(operation, str(self.placement.folder), text, f"the whole output is in {output}")

    def start(self, restart_key: str) -> None:
        """Starts the server and waits until it accepts its credentials.

        Raises TargetError with the end of its log when it ends or does not answer in time, and CredentialsRefused.
        """
        crashed = process_records.read(self.placement.record) is not None
        give_up = time.monotonic() + RETRY
        fields = {"restart_key": restart_key, "programs": str(self.programs), "endpoint": self._where}
        command = rendering.command(self.spec.start, self.spec, self.placement, self.programs)
        self.progress(f"starting {self.spec.name} on {self._where}")
        while True:
            self._remove_stale_files()
            with _fresh(self.placement.sub("run") / "start.log") as stream:
                code = self._launch(command, stream, record=fields).wait()
            reload_marker(self.placement).unlink(missing_ok=True)
            if code == 0 and self.answers():
                return
            if not crashed or time.monotonic() > give_up:
                self.placement.record.unlink(missing_ok=True)
                raise self._did_not_start()
            time.sleep(20 * POLL)

    def wait(self) -> None:
        """Waits for a server that runs and has not answered yet. Raises TargetError when it ends or takes too long."""
        self.progress(f"waiting for {self.spec.name} on {self._where}")
        if not self.answers():
            raise self._did_not_start()

    def answers(self) -> bool:
        """Waits until the server accepts its credentials (True) or ends (False). Raises TargetError when too slow."""
        probe = self.spec.load_probe()
        endpoint = Endpoint(self.placement.host, self.placement.port)
        deadline = time.monotonic() + self.spec.start_timeout
        while True:
            record = process_records.read(self.placement.record)
            if record is None or not record.alive:
                return False
            try:
                probe(endpoint, self.secrets, PROBE_TIMEOUT)
            except CredentialsRefused:
                if ports.listener(self.placement.port).pid in (record.pid, None):
                    raise
                self._refuse_stranger(record)  # somebody was faster with this port, and it was they who refused
                problem = "the port is changing hands"
            except CirclePayError as error:
                problem = error.cause
            else:
                return record.alive
            self._still_patient(deadline, problem)
            time.sleep(POLL)

    def _still_patient(self, deadline: float, problem: str) -> None:
        operation, where = f"wait for {self.spec.name}", self._where
        if self.cancelled.is_set():
            raise TargetError(operation, where, "cancelled; the server goes on starting", "run `up` again")
        if time.monotonic() > deadline:
            raise TargetError(
                operation,
                where,
                f"it has not answered for {self.spec.start_timeout:.0f} s: {problem}\n{self._tail()}",
                "it goes on starting; run `up` again to wait on",
            )

    def reload(self) -> None:
        """Tells the server to read its files again."""
        record = process_records.read(self.placement.record)
        if record is not None and record.alive:
            os.kill(record.pid, signal.Signals[self.spec.reload_signal])
        reload_marker(self.placement).unlink(missing_ok=True)

    def stop(self) -> None:
        """Ends the server as it wants to be ended. Raises TargetError when it has not ended after its stop_timeout."""
        record = process_records.read(self.placement.record)
        if record is not None and record.alive:
            self.progress(f"stopping {self.spec.name}, pid {record.pid}")
            self._end(record.pid)
        self.placement.record.unlink(missing_ok=True)

    def _end(self, pid: int) -> None:
        identity = launcher.identity(pid)
        deadline = time.monotonic() + self.spec.stop_timeout
        if identity:
            os.kill(pid, signal.Signals[self.spec.stop_signal])
        while identity and launcher.identity(pid) == identity:
            if time.monotonic() > deadline:
                raise TargetError(
                    f"stop {self.spec.name}",
                    f"pid {pid}",
                    f"it still runs {self.spec.stop_timeout:.0f} s after {self.spec.stop_signal}\n{self._tail()}",
                    "wait and run this again; it is not killed, because that can lose data",
                )
            time.sleep(POLL)

    def note_spec(self) -> None:
        """Leaves the applied spec, without secrets, in run/spec.json for the day-two verbs."""
        path = self.placement.sub("run") / "spec.json"
        text = json.dumps(self.spec.to_json(), indent=2) + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            owned_files.write(path, text, account(None))

    def _launch(
        self,
        command: list[str],
        output: IO[bytes],
        *,
        record: dict[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Runs a command as the servers' user, detached; with a record it is noted first, and a child of init."""
        owner = self.placement.owner if self.placement.system_user else None
        request = {
            "record": str(self.placement.record) if record is not None else None,
            "fields": record or {},
            "lock": self.lock,
            "uid": owner.uid if owner else None,
            "gid": owner.gid if owner else None,
        }
        return subprocess.Popen(
            [sys.executable, "-I", "-S", launcher.__file__, json.dumps(request), *command],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
            pass_fds=[self.lock],
        )

    def _remove_stale_files(self) -> None:
        """Files of a dead server that name a process which is gone, a zombie, or somebody else's by now."""
        for name in self.spec.stale_files:
            path = self.placement.sub("data") / name
            try:
                pid = int(path.read_text(encoding="utf-8").split("\n", 1)[0])
            except FileNotFoundError:
                continue
            except ValueError:
                pid = 0
            if not pid or not launcher.identity(pid) or not self._is_this_server(pid):
                path.unlink(missing_ok=True)

    def _did_not_start(self) -> TargetError:
        text = self._tail()
        cause = f"it ended at once; the end of its log:\n{text}"
        return TargetError(
            f"start {self.spec.name}", str(self.placement.folder), cause, self._hint(text, self.placement.sub("logs"))
        )

    def _tail(self) -> str:
        logs = self.placement.sub("logs")
        newest = sorted(logs.glob("*"), key=lambda path: path.stat().st_mtime)[-1:]
        return last_lines([self.placement.sub("run") / "start.log", *newest], self.secrets)

    def _hint(self, text: str, log: Path) -> str:
        if os.strerror(errno.ENOSPC).lower() in text.lower():
            return hint(errno.ENOSPC, self.placement.folder)
        return f"the whole log is in {log}"


def _fresh(path: Path) -> IO[bytes]:
    """An empty file for a child's output, in a folder that only the user who runs this package can change."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def _wait(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
