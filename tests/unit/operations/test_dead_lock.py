"""A lock whose run is over is cleared; any other is left, and said whose it is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.operations import dead_lock


def _lock(state: Path, *, pid: int, hostname: str = "", stack: str = "local", age: timedelta = timedelta()) -> Path:
    folder = state / ".pulumi" / "locks" / "organization" / "circlepay" / stack
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4()}.json"
    when = (datetime.now(UTC) - age).isoformat().replace("+00:00", "123Z")  # nanoseconds, as Go writes them
    path.write_text(
        json.dumps({"pid": pid, "username": "tester", "hostname": hostname or socket.gethostname(), "timestamp": when})
    )
    return path


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state with space"
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{folder}")
    return folder


@pytest.fixture
def ended() -> int:
    """The pid of a process that is over."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_the_lock_of_a_run_that_is_over_is_cleared(state: Path, ended: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = _lock(state, pid=ended)
    assert dead_lock.main("local") == 0
    assert not path.exists()
    assert f"pid {ended}" in capsys.readouterr().err


def test_the_lock_of_a_run_whose_exit_code_was_not_asked_for_yet_is_cleared(state: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    path = _lock(state, pid=child.pid)
    assert dead_lock.main("local") == 0
    assert not path.exists()
    child.wait()


def test_the_lock_of_a_living_run_stays_and_names_its_holder(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _lock(state, pid=os.getpid())
    assert dead_lock.main("local") == 1
    assert path.exists()
    told = capsys.readouterr().err
    assert f"tester on {socket.gethostname()} (pid {os.getpid()}) since 20" in told
    assert "wait until it has ended" in told
    assert "pulumi cancel" not in told


def test_a_lock_of_another_host_stays(state: Path, ended: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = _lock(state, pid=ended, hostname="elsewhere")
    assert dead_lock.main("local") == 1
    assert path.exists()
    assert "only if it was killed there: pulumi cancel local" in capsys.readouterr().err


def test_a_pid_that_another_process_has_now_holds_nothing(state: Path) -> None:
    path = _lock(state, pid=os.getpid(), age=timedelta(days=400))
    assert dead_lock.main("local") == 0
    assert not path.exists()


def test_locks_of_other_stacks_are_left_alone(state: Path, ended: int) -> None:
    path = _lock(state, pid=ended, stack="dev")
    assert dead_lock.main("local") == 0
    assert path.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_half_written_lock_is_left_to_pulumi(state: Path, content: str) -> None:
    path = _lock(state, pid=1)
    path.write_text(content)
    assert dead_lock.main("local") == 0
    assert path.exists()


@pytest.mark.parametrize("url", ["", "s3://bucket", "https://api.example.com"])
def test_other_backends_lock_in_their_own_way(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", url)
    assert dead_lock.main("local") == 0


def test_a_file_backend_in_the_home_folder() -> None:
    assert dead_lock.file_backend("file://~") == Path.home()
    assert dead_lock.file_backend("file:///var/state%20x") == Path("/var/state x")


@pytest.fixture
def language_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Path], int]]:
    """Starts a program of the language host's name that waits; given its engine's address and its folder."""
    program = tmp_path / dead_lock.LANGUAGE_HOST
    program.write_text("#!/bin/sh\nexec 3<&0\nread line <&3\n")
    program.chmod(0o755)
    clone = tmp_path / "clone"
    clone.mkdir()
    monkeypatch.setattr(dead_lock, "ROOT", clone)
    children: list[subprocess.Popen[bytes]] = []

    def start(address: str, folder: Path) -> int:
        children.append(subprocess.Popen([str(program), address], cwd=folder, stdin=subprocess.PIPE))
        return children[-1].pid

    yield start
    for child in children:
        child.kill()
        child.communicate()


def _refusing() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


def test_a_language_host_whose_engine_is_gone_is_ended(
    language_host: Callable[[str, Path], int], tmp_path: Path
) -> None:
    pid = language_host(_refusing(), tmp_path / "clone")
    assert dead_lock.end_orphans() == [pid]


def test_one_whose_engine_lives_or_that_is_another_clones_is_not(
    language_host: Callable[[str, Path], int], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:
        language_host(f"127.0.0.1:{engine.getsockname()[1]}", tmp_path / "clone")
        language_host(_refusing(), tmp_path)
        assert dead_lock.end_orphans() == []
