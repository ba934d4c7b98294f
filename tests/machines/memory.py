"""A Machine in memory: a dictionary of files, and a process that is a flag. It runs the dummy product."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from infra.errors import TargetError
from infra.files import BEGINNING
from infra.targets import machine
from infra.targets.location import Location
from infra.targets.machine import FOLDER, DataKind, FileState, Output, ProcessState
from infra.targets.server_logs import end_of
from infra.targets.spec import ServerSpec

LISTENING: dict[int, str] = {}  # port -> password of the server that answers there, for the probe of stages.py


@dataclass
class MemoryMachine:
    """See Machine. entries: path -> text (of a folder: None) and mode. loaded, password: as last read."""

    location: Location
    spec: ServerSpec
    entries: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    loaded: str = ""
    password: str = ""
    starts: int = 0
    paused: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    titles, programs_folder = machine.Titles("the place", "the data", "this program", "a setting", "the log", "see"), ""

    @contextmanager
    def exclusive(self, operation: str, cancelled: threading.Event) -> Iterator[None]:
        with self.lock:
            yield

    def files(self) -> dict[str, FileState]:
        return {
            path: FileState(FOLDER if text is None else FileState.of(text).content, mode)
            for path, (text, mode) in self.entries.items()
            if path in (*machine.PRIVATE_FOLDERS, "data") or path.startswith(("config/", "secrets/"))
        }

    def data(self) -> DataKind:
        kind = DataKind.PRESENT if any(path.startswith("data/") for path in self.entries) else DataKind.ABSENT
        return DataKind.UNFINISHED if "data.partial" in self.entries else kind

    def text(self, path: str) -> str:
        return self.entries.get(path, ("", 0))[0] or ""

    def data_version(self) -> str | None:
        return self.text(f"data/{self.spec.data_format.file}").strip() or None

    def beginning(self, path: str) -> str:
        return self.text(f"data/{path}")[:BEGINNING]

    def process(self) -> ProcessState:
        applied = machine.Applied.from_text(self.text(machine.APPLIED_FILE)) or machine.Applied()
        return ProcessState(self.paused or self.location.port in LISTENING, identity=str(self.starts), applied=applied)

    def write(self, files: Mapping[str, str], *, folders: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        self.entries = {
            path: entry
            for path, entry in self.entries.items()
            if not any(path == each or path.startswith(f"{each}/") for each in remove)
        }
        self.entries |= {path: (text, 0o600) for path, text in files.items()} | dict.fromkeys(folders, (None, 0o700))

    def halted(self) -> bool:
        return self.paused

    def resume(self) -> None:
        self.paused = False
        LISTENING[self.location.port] = self.password

    def adjust(self) -> None: ...

    def check_start(self) -> bool:
        return True

    is_listening = check_start

    def initialize(self, once: Mapping[str, str], cancelled: threading.Event) -> Output:
        if self.spec.initialize[-1] == "fails":
            return Output(3, f"fatal: password {once['secrets/initial']}")
        if self.spec.initialize[-1] == "slow" and cancelled.wait(2):
            raise TargetError("initialise dummy", self.titles.data, "cancelled")
        self.entries.pop("data.partial", None)
        self.write({"data/VERSION": "3\n", "data/password": once["secrets/initial"]}, folders=["data"])
        return Output(0, "")

    def run_once(self, words: tuple[str, ...], role: str, given: str = "") -> Output:
        if given and words[-1] != "fails":
            self.write({"data/password": given})
        return Output(3 if words[-1] == "fails" else 0, f"dummy 3.2 {given}")

    def start(self) -> None:
        self.starts, self.loaded = self.starts + 1, self.text("config/dummy.conf")
        self.password = self.text("data/password" if self.spec.credentials_command else "secrets/password").strip()
        if "crash" not in self.loaded:
            LISTENING[self.location.port] = self.password

    def stop(self) -> None:
        if "stubborn" in self.loaded and self.process().running:
            raise TargetError("stop dummy", "dummy", "it still runs 0 s after it was told to stop", "it is not killed")
        LISTENING.pop(self.location.port, None)
        self.entries.pop("data.partial", None)

    def reload(self) -> None:
        self.loaded = self.text("config/dummy.conf")

    def last_lines(self, secrets: Mapping[str, str]) -> str:
        return end_of(f"fatal: told to crash, password {self.password}", secrets)
