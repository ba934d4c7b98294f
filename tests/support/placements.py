"""Real servers on the target `processes`, in a data root of their own; what was started there is ended afterwards."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
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
from infra.targets import placement, process_records, processes, programs
from infra.targets.placement import Placement
from infra.targets.processes import ServerFacts
from infra.targets.spec import ServerSpec
from tests.support import dummy_product

PROJECT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0


def free_port() -> int:
    """A port that is free now, below the range the system hands out by itself."""
    for _ in range(200):
        port = random.randint(15000, 31000)  # noqa: S311
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) and not _bind_fails(port):
                return port
    raise AssertionError("no free port found")


def _bind_fails(port: int) -> bool:
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


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
    first_port: int = field(default_factory=free_port)
    found_programs: dict[str, Path] = field(default_factory=dict)

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
        """The spec's programs; the dummy server's are written here."""
        user = placement.ensure()
        if spec.name == "dummy":
            folder = self.root.with_name(self.root.name + "-dummy")
            return folder if folder.is_dir() else dummy_product.install(folder, user)
        key = f"{spec.name} {binaries}"
        if key not in self.found_programs:
            self.found_programs[key] = programs.locate(spec, binaries, user, self.root)
        return self.found_programs[key]

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
        return processes.apply(
            place,
            spec,
            secrets,
            self.programs(spec, binaries),
            cancelled=cancelled or threading.Event(),
            progress=progress or self.lines.append,
        )

    def read(
        self, place: Placement, spec: ServerSpec, secrets: Mapping[str, str], binaries: str = "wheel"
    ) -> ServerFacts:
        return processes.read(place, spec, secrets, self.programs(spec, binaries))

    def plan(
        self, place: Placement, spec: ServerSpec, secrets: Mapping[str, str], binaries: str = "wheel"
    ) -> list[Change]:
        return processes.plan(self.read(place, spec, secrets, binaries), spec, secrets, place)

    def stop(self, place: Placement, spec: ServerSpec) -> None:
        processes.stop(place, spec, progress=self.lines.append)

    def apply_in_child(
        self, place: Placement, spec: ServerSpec, secrets: Mapping[str, str], binaries: str = "wheel"
    ) -> subprocess.Popen[bytes]:
        """The same apply in a process of its own, which can be killed. Its output is dropped."""
        request = {
            "spec": spec.to_json(),
            "folder": str(place.folder),
            "secrets": dict(secrets),
            "programs": str(self.programs(spec, binaries)),
        }
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
        for path in self.root.glob("*/*/*/run/process.json"):
            record = process_records.read(path)
            if record is not None and record.alive:
                os.kill(record.pid, signal.SIGKILL)
                wait_until(lambda found=record: not found.alive)


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
    os.kill(record.pid, signal.SIGKILL)
    wait_until(lambda: not record.alive)
    return record.pid


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
