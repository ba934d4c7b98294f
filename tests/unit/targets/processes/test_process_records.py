from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.targets import ports
from infra.targets.processes import process_records
from infra.targets.processes.launch import identity
from infra.targets.processes.process_records import ProcessRecord
from tests.support.placements import wait_until

MINE: dict[str, Any] = {
    "pid": os.getpid(),
    "identity": identity(os.getpid()),
    "restart_key": "k",
    "programs": "p",
    "endpoint": "e",
}


def test_a_record_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    path.write_text(json.dumps(MINE))
    assert process_records.read(path) == ProcessRecord(**MINE)


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", json.dumps({**MINE, "pid": "x"}), "null"])
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "process.json"
    if text is not None:
        path.write_text(text)
    assert process_records.read(path) is None


def test_only_the_very_same_process_is_alive() -> None:
    mine = ProcessRecord(**MINE)
    assert mine.alive
    assert not replace(mine, identity="another-boot/1").alive
    assert not replace(mine, pid=1).alive
    assert not replace(mine, pid=2**22 + 1, identity="").alive


LINGERING = """
import ctypes, os, socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
def linger():
    print(server.getsockname()[1], flush=True)
    time.sleep(0.5)
    os._exit(0)
threading.Thread(target=linger).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, which tells of a process's threads")
def test_who_is_dead_has_let_go_of_the_port() -> None:
    """kill -9 ends the threads of a server one by one, and its first one, which makes it a zombie, not last."""
    with subprocess.Popen([sys.executable, "-c", LINGERING], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        record = replace(ProcessRecord(**MINE), pid=child.pid, identity="this boot/1")
        wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        assert not ports.is_free("127.0.0.1", port), "the test has nothing to wait for"
        assert not record.alive
        assert ports.is_free("127.0.0.1", port)
