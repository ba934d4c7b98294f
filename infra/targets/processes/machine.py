"""What this machine can do for one server: an ordinary process in a folder of its own."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from infra import files
from infra.errors import TargetError
from infra.targets import owned_files, ports
from infra.targets.filesystem_errors import explained, hint
from infra.targets.location import Location
from infra.targets.locks import exclusive
from infra.targets.machine import (
    APPLIED_FILE,
    DECLARED_FOLDERS,
    PRIVATE_FOLDERS,
    Applied,
    DataKind,
    FileState,
    Output,
    ProcessState,
    Titles,
)
from infra.targets.processes import launch as launcher
from infra.targets.processes import placement, process_records, programs
from infra.targets.processes.logs import newest_log, refuse_unwritable
from infra.targets.processes.placement import LOCK_TIMEOUT, Placement
from infra.targets.processes.process_records import ProcessRecord
from infra.targets.processes.system_user import account
from infra.targets.server_logs import last_lines, size
from infra.targets.spec import ServerSpec

POLL = 0.01
"""Seconds between two looks at a program that is ending."""
TERMINATE_SECONDS = 10.0
"""How long a cancelled initialisation may take to end."""
SMALL = 4096
"""Bytes of a file that holds a version or a process id."""
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that a server sees of the environment: nothing of the run that started it."""
RELOAD_PENDING = "run/reload-pending"
"""Left by earlier releases while a reload was due."""


@dataclass
class ProcessMachine:
    """One server's folder and process. lock: open descriptor while `exclusive` is held; -1 otherwise.

    logged_before: bytes of each log when the server was started here, which tell nothing of that start.
    """

    location: Location
    spec: ServerSpec
    placement: Placement
    lock: int = -1
    logged_before: dict[Path, int] = field(default_factory=dict)

    @property
    def titles(self) -> Titles:
        logs = self.spec.log or self.placement.sub("logs")
        return Titles(
            place=str(self.placement.folder),
            data=str(self.placement.sub("data")),
            programs=f"the program in {self.programs}",
            setting="the server's `binaries` in circlepay:processes",
            log_hint=f"the whole log is in {logs}",
            initialization_hint=f"the whole log is in {self._initialization_log}",
            disk_full_hint=hint(errno.ENOSPC, self.placement.folder),
        )

    @property
    def _initialization_log(self) -> Path:
        return self.placement.sub("run") / "initialize.log"

    @property
    def programs(self) -> Path:
        """The folder of the declared programs, there or not. Raises TargetError for a wheel that is not installed."""
        return programs.locate(self.spec, *self._source)

    @property
    def programs_folder(self) -> str:
        return str(self.programs)

    @property
    def _source(self) -> tuple[str, str | None, Path]:
        placement = self.placement
        return self.location.names["binaries"], placement.system_user, placement.folder.parents[2]

    @contextmanager
    def exclusive(self, operation: str, cancelled: threading.Event) -> Iterator[None]:
        folder = self.placement.folder
        with explained(operation, folder):
            lock = exclusive(folder / "lock", operation, timeout=LOCK_TIMEOUT, cancelled=cancelled)
            with lock as self.lock:
                yield

    def files(self) -> dict[str, FileState]:
        owner = self.placement.owner
        declared = [*PRIVATE_FOLDERS, "data", *(file.path for file in self.spec.files)]
        present = [
            f"{name}/{each}" for name in DECLARED_FOLDERS for each in owned_files.names(self.placement.sub(name))
        ]
        paths = dict.fromkeys([*declared, *present])
        states = {path: owned_files.state(self.placement.folder / path, owner) for path in paths}
        return {path: state for path, state in states.items() if state is not None}

    def data(self) -> DataKind:
        data = self.placement.sub("data")
        try:
            is_absent = not data.is_dir() or (bool(self.spec.initialize) and not any(data.iterdir()))
        except PermissionError:
            is_absent = False
        return DataKind.ABSENT if is_absent else DataKind.PRESENT

    def data_version(self) -> str | None:
        path = self.placement.sub("data") / self.spec.data_format.file
        try:
            with explained(f"read the data of {self.spec.name}", path):
                return files.read(path, largest=SMALL).decode(errors="replace").strip()
        except TargetError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def beginning(self, path: str) -> str:
        try:
            return files.beginning(self.placement.sub("data") / path).decode("ascii", "replace")
        except OSError:
            return ""

    def process(self) -> ProcessState:
        record = process_records.read(self.placement.record)
        if record is None or not record.alive:
            return ProcessState(crashed=record is not None, applied=self._applied(None))
        return ProcessState(
            running=True,
            identity=f"{record.pid} {record.identity}",
            problem="",
            applied=self._applied(record),
            outdated=self._outdated(record),
        )

    def _applied(self, record: ProcessRecord | None) -> Applied:
        try:
            recorded = Applied.from_text(files.read_text(self.placement.folder / APPLIED_FILE))
        except (OSError, ValueError):
            recorded = None
        if recorded is None and record is not None and record.restart_key:
            return Applied(record.restart_key, self._read_by_an_earlier_release())
        return recorded or Applied()

    def _read_by_an_earlier_release(self) -> str:
        """Such a server has read the files that are there, unless a reload was due."""
        if not self.spec.reload_signal or (self.placement.folder / RELOAD_PENDING).exists():
            return ""
        paths = [file.path for file in self.spec.files if not file.restart and not file.once]
        try:
            texts = [files.read(self.placement.folder / path) for path in paths]
        except OSError:
            return ""
        return hashlib.sha256(b"\0".join(texts)).hexdigest()

    def _outdated(self, record: ProcessRecord) -> str:
        try:
            declared = str(self.programs)
        except TargetError:
            return ""  # the next change reports it
        if record.programs == declared:
            return ""
        return f"it runs the programs in {record.programs}, not the declared ones in {declared}"

    def write(self, files: Mapping[str, str], *, folders: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        folder, owner = self.placement.folder, self.placement.owner
        # Records and the output of starts: the servers' user needs no access to it.
        owned_files.make_folder(self.placement.sub("run"), account(None))
        missing = {path.partition("/")[0] for path in files} - {"run"}
        for name in (*folders, *(name for name in missing if not self.placement.sub(name).is_dir())):
            owned_files.make_folder(self.placement.sub(name), owner)
        for path in remove:
            owned_files.remove(folder / path)
        for path, text in files.items():
            owned_files.write(folder / path, text, account(None) if path.startswith("run/") else owner)

    def halted(self) -> bool:
        record = process_records.running(self.placement.record)
        return record is not None and launcher.is_halted(record.pid)

    def resume(self) -> None:
        record = process_records.running(self.placement.record)
        if record is not None:
            os.kill(record.pid, signal.SIGCONT)

    def adjust(self) -> None:
        """Nothing around a process is ours to adjust."""

    def check_start(self) -> bool:
        folder = programs.provide(self.spec, *self._source)
        for words in filter(None, (self.spec.start, self.spec.initialize)):
            programs.command(words, self.spec, folder, self.location.placeholders)
        if self.spec.log:
            refuse_unwritable(Path(self.spec.log), self.spec.name, self.placement.owner)
        own = process_records.running(self.placement.record)
        host, port = self.placement.host, self.placement.port
        claimed = ports.claim(self.location.claimant, host, port)  # also for the moment in which a server is restarted
        started = own is not None and own.endpoint == self._where
        if claimed and not started and ports.is_free(host, port):
            return True
        found = ports.listener(port)
        if own is not None and claimed and (found.pid == own.pid or (found.pid is None and started)):
            return True
        if found.pid is not None and self._is_this_server(found.pid):
            self._end(found.pid)
            return False
        raise self._port_is_lost()

    def _port_is_lost(self) -> TargetError:
        setting = f"circlepay:{self.spec.name}.port"
        hint = f"stop that process, or set {setting} to another port"
        if not placement.has_listened(self.placement.folder):
            hint += f"; where {setting} is not set, the next `up` takes another port by itself"
        cause = ports.unavailable(self.placement.host, self.placement.port)
        return TargetError(f"start {self.spec.name}", self._where, cause, hint)

    def is_listening(self) -> bool:
        record = process_records.read(self.placement.record)
        if record is None or not ports.listens(record.pid, self.placement.port):
            return False
        placement.note_listening(self.placement.folder)
        return True

    @property
    def _where(self) -> str:
        return f"{self.placement.host}:{self.placement.port}"

    def _is_this_server(self, pid: int) -> bool:
        """Whether the process works in our data folder, or names it in its arguments."""
        import psutil

        data = str(self.placement.sub("data"))
        try:
            process = psutil.Process(pid)
            return any(str(self.placement.folder) in word for word in process.cmdline()) or process.cwd() == data
        except psutil.Error:
            return False

    def initialize(self, once: Mapping[str, str], cancelled: threading.Event) -> Output:
        data, partial = self.placement.sub("data"), self.placement.folder / "data.partial"
        output = self._initialization_log
        self._discard_unfinished()
        try:
            owned_files.make_folder(partial, self.placement.owner)
            self.write(once)
            command = self._command(self.spec.initialize, data=partial)
            code = self._initialized(command, output, cancelled)
            if code == 0:
                partial.rename(data)
                owned_files.sync_folder(self.placement.folder)
            return Output(code, files.read(output).decode(errors="replace"))
        finally:
            self._discard_unfinished()
            for path in once:
                (self.placement.folder / path).unlink(missing_ok=True)

    def _initialized(self, command: list[str], output: Path, cancelled: threading.Event) -> int:
        with owned_files.fresh(output) as stream:
            child = self._launch(command, stream)
            while (code := _wait(child, POLL)) is None:
                if cancelled.is_set():
                    child.terminate()
                    child.wait(TERMINATE_SECONDS)
                    raise TargetError(f"initialise {self.spec.name}", self.titles.data, "cancelled", "run `up` again")
        return code

    def _discard_unfinished(self) -> None:
        partial = self.placement.folder / "data.partial"
        if partial.exists():
            shutil.rmtree(partial)

    def run_once(self, words: tuple[str, ...], role: str, given: str = "") -> Output:
        self._remove_stale_files()
        child = self._launch(self._command(words), subprocess.PIPE, stdin=subprocess.PIPE)
        try:
            text, _ = child.communicate(given.encode(), timeout=self.spec.start_timeout)
        except subprocess.TimeoutExpired:
            child.terminate()
            child.communicate(timeout=TERMINATE_SECONDS)
            cause = f"it did not end within {self.spec.start_timeout:.0f} s"
            raise TargetError(f"{role} of {self.spec.name}", self.titles.place, cause, "run `up` again") from None
        return Output(child.returncode, text.decode(errors="replace"))

    def _command(self, words: tuple[str, ...], *, data: Path | None = None) -> list[str]:
        placeholders = {**self.location.placeholders, **({"data": str(data)} if data else {})}
        return programs.command(words, self.spec, self.programs, placeholders)

    def start(self) -> None:
        fields = {"programs": str(self.programs), "endpoint": self._where}
        self._remove_stale_files()
        self.logged_before = {path: size(path) for path in self._logs()}
        with owned_files.fresh(self.placement.sub("run") / "start.log") as stream:
            self._launch(self._command((*self.spec.start, *self.spec.fixed)), stream, record=fields).wait()
        (self.placement.folder / RELOAD_PENDING).unlink(missing_ok=True)

    def reload(self) -> None:
        record = process_records.running(self.placement.record)
        if record is not None:
            os.kill(record.pid, signal.Signals[self.spec.reload_signal])
        (self.placement.folder / RELOAD_PENDING).unlink(missing_ok=True)

    def stop(self) -> None:
        record = process_records.running(self.placement.record)
        if record is not None:
            self._end(record.pid)
        self.placement.record.unlink(missing_ok=True)
        self._discard_unfinished()

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
                    f"it still runs {self.spec.stop_timeout:.0f} s after {self.spec.stop_signal}\n{self.last_lines({})}",
                    "wait and run this again; it is not killed, because that can lose data",
                )
            time.sleep(POLL)

    def last_lines(self, secrets: Mapping[str, str]) -> str:
        return last_lines([self.placement.sub("run") / "start.log", *self._logs()], secrets, before=self.logged_before)

    def _logs(self) -> list[Path]:
        """The log that the server writes now, or will go on with."""
        newest = newest_log(Path(self.spec.log) if self.spec.log else self.placement.sub("logs"))
        return [newest] if newest else []

    def _launch(
        self,
        command: list[str],
        output: IO[bytes] | int,
        *,
        record: dict[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Runs a command as the servers' user, detached; with a record it is recorded first, and a child of init."""
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
        """Files of a dead server that name a process which is gone, a zombie, or another program's by now."""
        for name in self.spec.stale_files:
            path = self.placement.sub("data") / name
            try:
                pid = int(files.read(path, largest=SMALL).split(b"\n", 1)[0])
            except FileNotFoundError:
                continue
            except (ValueError, files.IrregularFileError):  # a pipe there would keep the server waiting for ever
                pid = 0
            if not pid or not launcher.identity(pid) or not self._is_this_server(pid):
                path.unlink(missing_ok=True)


def _wait(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
