"""One server's place on each kind of machine, and what a person may do there by hand."""

from __future__ import annotations

import os
import random
import shutil
import signal
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from infra.endpoint import Endpoint
from infra.errors import ServerError
from infra.targets.location import Location, placeholders_below
from infra.targets.machine import FOLDER_MODE, Machine
from infra.targets.processes import process_records
from infra.targets.spec import Answer, CredentialsRefused, ServerSpec
from tests.machines.memory import LISTENING, MemoryMachine
from tests.support import dummy_product, placements
from tests.support.dummy_product import SECRETS
from tests.support.server_verbs import ServerVerbs


@dataclass(frozen=True)
class Look:
    """What is at a path, seen without the package. own: it belongs to the server's user. text: of a file."""

    text: str
    mode: int
    own: bool = True


class Stage(ServerVerbs):
    """A place for one server. Paths are below the place: `config/...`, `secrets/...`, `data/...`, `run/...`."""

    live: str
    """The file that is read again on a reload."""
    password: str
    """The file of its password, which is only read at the start."""

    @abstractmethod
    def spec(self, live: str = "hello", *, extra: str = "", how: str = "", kept: str = "") -> ServerSpec:
        """The third product. live: what is read again.

        extra: `crash`, `stubborn`. how: `fails` or `slow` of its initialisation. kept: the credentials are in its data;
        `fails`: so does repairing them.
        """

    @abstractmethod
    def look(self, path: str) -> Look | None:
        """What is there."""

    def text(self, path: str) -> str:
        """What is in a file that must be there."""
        found = self.look(path)
        assert found is not None, path
        return found.text

    @abstractmethod
    def put(self, path: str, text: str) -> None:
        """Gives a file another content, by hand."""

    @abstractmethod
    def chmod(self, path: str, mode: int) -> None:
        """Gives a file or folder another mode, by hand."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Removes a file or folder with all that is in it, by hand."""

    @abstractmethod
    def kill(self) -> None:
        """Ends the server without warning."""

    @abstractmethod
    def halt(self) -> None:
        """Stops it with the signal that nothing can ignore, and that leaves it there."""

    @abstractmethod
    def loaded(self) -> str:
        """What the running server has read of `live`."""

    @abstractmethod
    def process(self) -> str:
        """What tells the running process from every other."""

    @abstractmethod
    def leave_unfinished(self) -> None:
        """What a run leaves that is killed while it initialises, with a file `half` in the data it began."""

    @property
    def format_file(self) -> str:
        """The file of the data's format."""
        return f"data/{self.spec().data_format.file}"


class DummyStage(Stage):
    """One that runs the dummy product."""

    live, password = "config/dummy.conf", "secrets/password"

    def spec(self, live: str = "hello", *, extra: str = "", how: str = "", kept: str = "") -> ServerSpec:
        return dummy_product.spec(live, extra=f"{extra}\n" if extra else "", how=how, kept=kept)


def probe(endpoint: Endpoint, secrets: Mapping[str, str], timeout: float, **_: object) -> Answer:
    """Of the machine in memory."""
    if endpoint.port not in LISTENING:
        raise ServerError("log in to dummy", str(endpoint), "connection refused")
    if LISTENING[endpoint.port] != secrets["password"]:
        raise CredentialsRefused("log in to dummy", str(endpoint), "the password was refused")
    return Answer("3.2")


def location_in_memory() -> Location:
    """Where nothing is."""
    port = -random.randrange(1, 2**31)  # noqa: S311  (no secret; of no socket)
    places = placeholders_below(Path("/memory"), "memory", port)
    return Location("memory", "dummy", "0123456789", "local", "/nowhere", "memory", port, placeholders=places)


class MemoryStage(DummyStage):
    """Nothing but a dictionary."""

    def __init__(self) -> None:
        self.made = MemoryMachine(location_in_memory(), self.spec())

    def spec(self, live: str = "hello", *, extra: str = "", how: str = "", kept: str = "") -> ServerSpec:
        return replace(super().spec(live, extra=extra, how=how, kept=kept), probe=f"{__name__}:probe")

    def machine(self, spec: ServerSpec) -> MemoryMachine:
        self.made.spec = spec
        return self.made

    def look(self, path: str) -> Look | None:
        found = self.made.entries.get(path)
        return None if found is None else Look(found[0] or "", found[1])

    def put(self, path: str, text: str) -> None:
        self.made.entries.setdefault(path.rpartition("/")[0], (None, FOLDER_MODE))
        self.made.entries[path] = (text, self.made.entries.get(path, (None, 0o600))[1])

    def chmod(self, path: str, mode: int) -> None:
        self.made.entries[path] = (self.made.entries[path][0], mode)

    def remove(self, path: str) -> None:
        for each in [each for each in self.made.entries if each == path or each.startswith(f"{path}/")]:
            del self.made.entries[each]

    def kill(self) -> None:
        LISTENING.pop(self.made.location.port)

    def halt(self) -> None:
        self.made.paused = True
        LISTENING.pop(self.made.location.port)

    def loaded(self) -> str:
        return dummy_product.greeting_of(self.made.loaded)

    def process(self) -> str:
        return str(self.made.starts)

    def leave_unfinished(self) -> None:
        self.made.entries["data.partial"] = (None, FOLDER_MODE)


class ProcessStage(DummyStage):
    """A process of this machine."""

    def __init__(self, stage: placements.Stage) -> None:
        self.stage = stage
        self.place = stage.place(self.spec())

    def machine(self, spec: ServerSpec) -> Machine:
        return self.stage.server(self.place, spec, SECRETS).machine

    def look(self, path: str) -> Look | None:
        found = self.place.folder / path
        if not found.exists():
            return None
        status = found.stat()
        text = "" if found.is_dir() else found.read_text()
        return Look(text, status.st_mode & 0o777, status.st_uid == self.place.owner.uid)

    def put(self, path: str, text: str) -> None:
        (self.place.folder / path).parent.mkdir(exist_ok=True)
        (self.place.folder / path).write_text(text)

    def chmod(self, path: str, mode: int) -> None:
        (self.place.folder / path).chmod(mode)

    def remove(self, path: str) -> None:
        found = self.place.folder / path
        shutil.rmtree(found) if found.is_dir() else found.unlink()

    def kill(self) -> None:
        placements.kill_server(self.place)

    def halt(self) -> None:
        os.kill(int(self.process()), signal.SIGSTOP)

    def loaded(self) -> str:
        return dummy_product.ask(Endpoint(self.place.host, self.place.port), SECRETS["password"]).split()[2]

    def process(self) -> str:
        record = process_records.read(self.place.record)
        return "" if record is None else str(record.pid)

    def leave_unfinished(self) -> None:
        partial = self.place.folder / "data.partial"
        partial.mkdir()
        (partial / "half").touch()
