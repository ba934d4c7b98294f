"""Real servers on the target `processes`, in a data root of their own; what was started there is ended afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.changes import Change
from infra.targets import lifecycle, ports
from infra.targets import server as servers
from infra.targets.processes import placement, process_records, programs, system_user
from infra.targets.processes.machine import ProcessMachine
from infra.targets.processes.placement import Placement
from infra.targets.processes.process_records import ProcessRecord
from infra.targets.processes.target import located
from infra.targets.server import Facts, Server
from infra.targets.spec import ServerSpec
from tests.support import dummy_product
from tests.support.quiet_ports import quiet_port

PROJECT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that another user can enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="circlepay-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Stage:
    """A data root, and the verbs of the target with less to type."""

    root: Path
    lines: list[str] = field(default_factory=list)
    first_port: int = field(default_factory=quiet_port)

    def place(
        self,
        spec: ServerSpec,
        *,
        port: int | None = None,
        stack: str = "local",
        clone: str = "0123456789",
        project_root: Path = PROJECT,
        secrets_id: str = "first",
        host: str = "127.0.0.1",
    ) -> Placement:
        return placement.place(
            data_root=self.root,
            clone_id=clone,
            stack=stack,
            project_root=str(project_root),
            spec_name=spec.name,
            host=host,
            requested_port=port,
            documented_port=self.first_port,
            secrets_id=secrets_id,
        )

    def programs(self, spec: ServerSpec, binaries: str = "wheel") -> Path:
        """The folder of the spec's programs; they are put there."""
        user = system_user.ensure()
        return programs.provide(spec, self.binaries(spec, binaries), user, self.root)

    def binaries(self, spec: ServerSpec, binaries: str = "wheel") -> str:
        """The setting `binaries`; the dummy server's programs are written here."""
        if spec.name != "dummy" or binaries != "wheel":
            return binaries
        folder = self.root.with_name(self.root.name + "-dummy")
        return str(folder if folder.is_dir() else dummy_product.install(folder, system_user.ensure()))

    def server(self, place: Placement, spec: ServerSpec, secrets: Mapping[str, str], binaries: str = "wheel") -> Server:
        """The server as declared."""
        clone, stack = place.folder.parts[-3:-1]
        location = located(place, clone, stack, str(PROJECT)).completed({"binaries": self.binaries(spec, binaries)})
        return Server(ProcessMachine(location, spec, place), secrets)

    def apply(
        self,
        place: Placement,
        spec: ServerSpec,
        secrets: Mapping[str, str],
        binaries: str = "wheel",
        *,
        cancelled: threading.Event | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> list[Change]:
        server = self.server(place, spec, secrets, binaries)
        outcome = lifecycle.apply(
            server, cancelled=cancelled or threading.Event(), progress=progress or self.lines.append
        )
        return outcome.changes

    def read(self, place: Placement, spec: ServerSpec, secrets: Mapping[str, str], binaries: str = "wheel") -> Facts:
        return servers.read(self.server(place, spec, secrets, binaries))

    def plan(
        self, place: Placement, spec: ServerSpec, secrets: Mapping[str, str], binaries: str = "wheel"
    ) -> list[Change]:
        server = self.server(place, spec, secrets, binaries)
        return servers.plan(servers.read(server), server).changes

    def stop(self, place: Placement, spec: ServerSpec) -> None:
        lifecycle.stop(self.server(place, spec, {}), progress=self.lines.append)

    def apply_in_child(
        self, place: Placement, spec: ServerSpec, secrets: Mapping[str, str], binaries: str = "wheel"
    ) -> subprocess.Popen[bytes]:
        """The same apply in a process of its own, which can be killed. Its output is dropped."""
        location = self.server(place, spec, secrets, binaries).machine.location
        ports.release(location.claimant)  # by this process, so that the other can claim it
        request = {"spec": spec.to_json(), "location": location.to_json(), "secrets": dict(secrets)}
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.support.apply_in_child"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert child.stdin is not None
        child.stdin.write(json.dumps(request).encode())
        child.stdin.close()
        child.stdin = None  # communicate() would flush it again
        return child

    def end_everything(self) -> None:
        """Kills what still runs below the data root, by the ids on record."""
        for path in self.root.glob("**/run/process.json"):
            record = process_records.read(path)
            if record is not None and record.alive:
                _kill(record)


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Returns as soon as the condition holds, fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def kill_server(place: Placement) -> int:
    """kill -9 of the placement's server; its process id."""
    record = process_records.read(place.record)
    assert record is not None
    _kill(record)
    return record.pid


def _kill(record: ProcessRecord) -> None:
    os.kill(record.pid, signal.SIGKILL)
    wait_until(lambda: not record.alive)


@contextmanager
def staged(root: Path | None = None) -> Iterator[Stage]:
    """A stage in a folder of its own, or in `root`."""
    with open_folder() as folder:
        stage = Stage(root or folder / "data")
        try:
            yield stage
        finally:
            stage.end_everything()
            shutil.rmtree(stage.root.with_name(stage.root.name + "-dummy"), ignore_errors=True)
