from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from infra.targets.processes import launch, process_records
from tests.support.placements import wait_until


def run(request: dict[str, Any], *argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    whole = {"record": None, "fields": {}, "lock": None, "uid": None, "gid": None, **request}
    command = [sys.executable, "-I", "-S", launch.__file__, json.dumps(whole), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, **options)


FIELDS = {"restart_key": "key", "programs": "/p", "endpoint": "h:1"}


def test_without_a_record_it_becomes_the_program() -> None:
    done = run({}, "/bin/sh", "-c", "echo $0 $1; umask; exit 7", "a b", "c")
    assert (done.stdout.splitlines(), done.returncode) == (["a b c", "0077"], 7)


def test_with_a_record_the_program_is_noted_before_it_runs_and_lives_on(tmp_path: Path) -> None:
    record_path, seen = tmp_path / "process.json", tmp_path / "seen"
    script = f"cat {record_path} > {seen}.partial; mv {seen}.partial {seen}; sleep 60"
    options: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    whole = {"record": str(record_path), "fields": FIELDS, "lock": None, "uid": None, "gid": None}
    command = [sys.executable, "-I", "-S", launch.__file__, json.dumps(whole), "/bin/sh", "-c", script]
    assert subprocess.run(command, check=True, timeout=30, **options).returncode == 0
    wait_until(seen.exists)
    record = process_records.read(record_path)
    assert record is not None
    try:
        assert json.loads(seen.read_text()) == json.loads(record_path.read_text())
        assert record.alive
        assert (record.restart_key, record.programs, record.endpoint) == ("key", "/p", "h:1")
        assert os.getsid(record.pid) == record.pid
        assert record_path.stat().st_mode & 0o777 == 0o600
    finally:
        os.kill(record.pid, signal.SIGKILL)
    wait_until(lambda: not record.alive)


def test_a_record_that_cannot_be_written_means_no_program(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    done = run({"record": str(tmp_path / "absent" / "r"), "fields": FIELDS}, "/bin/sh", "-c", f"touch {seen}")
    assert done.returncode == 1
    time.sleep(0.2)
    assert not seen.exists()


@pytest.mark.parametrize("recorded", [True, False])
def test_the_lock_is_held_until_a_recorded_program_starts_or_another_has_ended(tmp_path: Path, recorded: bool) -> None:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    request = {"record": str(tmp_path / "r") if recorded else None, "fields": FIELDS, "lock": lock}
    whole = {"uid": None, "gid": None, **request}
    command = [sys.executable, "-I", "-S", launch.__file__, json.dumps(whole), "/bin/sleep", "1"]
    with subprocess.Popen(command, pass_fds=[lock], start_new_session=True) as child:
        os.close(lock)  # as if this process had been killed: only the child holds it now
        if recorded:
            child.wait(10)
            wait_until(lambda: _free(tmp_path / "lock"), 0.9)
            record = process_records.read(tmp_path / "r")
            assert record is not None
            assert record.alive
            os.kill(record.pid, signal.SIGKILL)
        else:
            time.sleep(0.3)
            assert not _free(tmp_path / "lock")
            child.wait(10)
            assert _free(tmp_path / "lock")


def _free(path: Path) -> bool:
    with path.open("r+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_a_program_that_is_not_there_is_said_in_one_line() -> None:
    done = run({}, "/nowhere/server")
    assert (done.returncode, done.stderr) == (127, "cannot run /nowhere/server: No such file or directory\n")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_signals_that_python_a_background_job_or_nohup_ignore_are_not_ignored_by_the_program() -> None:
    numbers = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        done = run({}, "/bin/sh", "-c", "grep SigIgn /proc/$$/status")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # Other bits may be set: what runs the tests may ignore the C library's own signals.
    ignored = int(done.stdout.split()[1], 16)
    assert [number for number in numbers if ignored >> (number - 1) & 1] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_becomes_the_user_without_groups_or_a_way_back() -> None:
    look = "id -u; id -g; id -G; grep CapEff /proc/$$/status"
    done = run({"uid": 65534, "gid": 65534}, "/bin/sh", "-c", look, extra_groups=[1, 4])
    assert done.stdout.split() == ["65534", "65534", "65534", "CapEff:", "0000000000000000"]


def test_the_identity_of_a_process_is_its_own_and_ends_with_it() -> None:
    mine = launch.identity(os.getpid())
    assert mine == launch.identity(os.getpid()) != ""
    with subprocess.Popen(["sleep", "60"]) as other:
        theirs = launch.identity(other.pid)
        assert theirs not in ("", mine)
        other.kill()
        wait_until(lambda: launch.identity(other.pid) == "")  # a zombie until it is waited for
    assert launch.identity(other.pid) == ""


def test_without_proc_the_identity_comes_from_ps() -> None:
    mine = launch._identity_by_ps(os.getpid())
    assert mine == launch._identity_by_ps(os.getpid()) != ""
    assert launch._identity_by_ps(2**22 + 1) == ""
