"""Machine: what a target can do for one server. The lifecycle of a server (server.py, lifecycle.py) is written once over it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from infra.changes import Change
from infra.files import FILE_MODE
from infra.targets.location import Location
from infra.targets.spec import ServerSpec

FOLDER_MODE = 0o700
FOLDER = "folder"
"""Content of a FileState that is a folder."""
UNREADABLE = "unreadable"
"""Content of a FileState that is neither file nor folder, or cannot be read."""
PRIVATE_FOLDERS = ("config", "secrets", "logs")
"""Folders of the server's user, beside `data`."""
APPLIED_FILE = "run/applied.json"
"""The record of what a server has read; the server itself may not write it."""
DECLARED_FOLDERS = ("config", "secrets")
"""Folders that hold the spec's files and nothing else."""


@dataclass(frozen=True)
class FileState:
    """What is at a path. content: SHA-256 of a file's content, FOLDER or UNREADABLE. mode: permission bits.

    owner: empty for the server's user, else `uid N`.
    """

    content: str
    mode: int
    owner: str = ""

    @classmethod
    def of(cls, text: str) -> FileState:
        """A file with this content as it should be."""
        return cls(hashlib.sha256(text.encode()).hexdigest(), FILE_MODE)

    def difference(self, declared: FileState, owner: str) -> str:
        """In words, what is wrong with this one; empty when nothing is. owner: name of the server's user."""
        if self == declared:
            return ""
        if self.content == UNREADABLE or (self.content == FOLDER) != (declared.content == FOLDER):
            return "has another file type, or cannot be read"
        if self.content != declared.content:
            return "its content is not the declared one"
        if self.mode != declared.mode:
            return f"its mode is {self.mode:04o}, declared {declared.mode:04o}"
        return f"it belongs to {self.owner}, declared {owner}"


PRIVATE_FOLDER = FileState(FOLDER, FOLDER_MODE)


@dataclass(frozen=True)
class Applied:
    """Digests of what a server has read, empty where that is unknown.

    restart: what it only reads when it starts. reload: what it also reads on its reload signal.
    """

    restart: str = ""
    reload: str = ""

    def agreeing(self, other: Applied) -> Applied:
        """What both have; unknown where they differ."""
        return Applied(
            self.restart if self.restart == other.restart else "", self.reload if self.reload == other.reload else ""
        )

    def to_text(self) -> str:
        """The content of APPLIED_FILE."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | None) -> Applied | None:
        """What `to_text` wrote; None for anything else."""
        try:
            return cls(**json.loads(text or ""))
        except (ValueError, TypeError):
            return None


class DataKind(StrEnum):
    """absent: nothing is there. unfinished: an initialisation is under way, or a killed run left it. present: anything else."""

    ABSENT = "absent"
    UNFINISHED = "unfinished"
    PRESENT = "present"


@dataclass(frozen=True)
class ProcessState:
    """A server's process.

    running: it exists, whether it answers or not. suspended: it exists and is kept from running. identity: tells it from
    an earlier or later one. problem: what it is instead of running. crashed: the last one ended without being stopped.
    applied: what it has read. outdated: why it is not the program that is declared, or empty. adjustments: what
    `Machine.adjust` would change around it while it runs.
    """

    running: bool = False
    suspended: bool = False
    identity: str = ""
    problem: str = "it is not running"
    crashed: bool = False
    applied: Applied = field(default_factory=Applied)
    outdated: str = ""
    adjustments: tuple[Change, ...] = ()


class Output(NamedTuple):
    """How a program ended, and what it printed on both streams."""

    code: int
    text: str


class Titles(NamedTuple):
    """What the parts of a place are called in messages. setting: of the programs, as written in the stack's file.

    log_hint: where the whole log is. initialization_hint: what to look at after an initialisation that failed.
    disk_full_hint: what to do where no space is left.
    """

    place: str
    data: str
    programs: str
    setting: str
    log_hint: str
    initialization_hint: str
    disk_full_hint: str = "free disk space, then run `up` again: it continues where it stopped"


class Machine(Protocol):
    """One server's machine. Every method raises TargetError where the machine refuses; none of them kills a server."""

    @property
    def location(self) -> Location:
        """Where it is."""

    @property
    def spec(self) -> ServerSpec:
        """The server to run there."""

    @property
    def titles(self) -> Titles:
        """Names for messages."""

    @property
    def programs_folder(self) -> str:
        """Folder of the server's programs where they can be run beside it; empty where they are part of an image."""

    def exclusive(self, operation: str, cancelled: threading.Event) -> AbstractContextManager[None]:
        """Locks out every other run on this server meanwhile."""

    def files(self) -> dict[str, FileState]:
        """States of the spec's files, of the server's folders, and of whatever else is where only we put files.

        By their path below the place; what is absent is left out. The latter is everything below DECLARED_FOLDERS at least.
        """

    def data(self) -> DataKind:
        """The state of its data."""

    def data_version(self) -> str | None:
        """The content of the file that names the data's format; None without that file."""

    def beginning(self, path: str) -> str:
        """The first bytes of a file below the data folder, what is no ASCII replaced; empty where there is no such file."""

    def process(self) -> ProcessState:
        """The state of its process."""

    def write(self, files: Mapping[str, str], *, folders: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Puts files (path -> content) in place, for the server's user only, and gives these folders their owner and mode.

        remove: files, or folders with all that is in them, to take away first; a link is taken away and not followed.
        """

    def halted(self) -> bool:
        """Whether the running server was stopped by a signal (SIGSTOP) and waits to be continued."""

    def resume(self) -> None:
        """Lets a halted server go on."""

    def adjust(self) -> None:
        """Makes the changes that the process's `adjustments` name."""

    def check_start(self) -> bool:
        """Whether the server may listen, or listens, at its address; False after a stray process of its own was ended there.

        The address is then claimed for it, as far as this machine's ports are concerned. Raises TargetError when another
        program has the address or claims it, when its programs cannot be run, and when it cannot write its log.
        """

    def is_listening(self) -> bool:
        """Whether the running server has its address by now, and no other program; True where another cannot have it."""

    def initialize(self, once: Mapping[str, str], cancelled: threading.Event) -> Output:
        """Runs the spec's `initialize`; data appears whole or not at all. once: files (path -> content) that it finds."""

    def run_once(self, words: tuple[str, ...], role: str, given: str = "") -> Output:
        """Runs one of the spec's commands beside the data. role: what for, a word. given: its standard input."""

    def start(self) -> None:
        """Starts the stopped server and does not wait until it answers."""

    def stop(self) -> None:
        """Ends the server in its own orderly way and waits for it; discards an unfinished initialisation."""

    def reload(self) -> None:
        """Tells the running server to read its files again."""

    def last_lines(self, secrets: Mapping[str, str]) -> str:
        """The end of what the server wrote to its log, indented, secrets masked."""
