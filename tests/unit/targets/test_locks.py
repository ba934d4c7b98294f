from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from infra.errors import TargetError
from infra.targets.locks import exclusive

HOLD = """
import sys, time
from pathlib import Path
from infra.targets.locks import exclusive
with exclusive(Path(sys.argv[1]), "hold", timeout=5):
    print("held", flush=True)
    time.sleep(60)
"""


def test_who_waits_too_long_is_told_who_holds_it_and_a_killed_holder_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        refusal = pytest.raises(TargetError, match=rf"another run \(pid {holder.pid}\) has held this lock")
        with refusal, exclusive(path, "try", timeout=0.1):
            pass
        holder.kill()
        holder.wait()
    with exclusive(path, "try", timeout=0.1):
        assert path.read_text() == str(os.getpid())


def test_waiting_ends_when_the_run_is_cancelled(tmp_path: Path) -> None:
    cancelled = threading.Event()
    with exclusive(tmp_path / "lock", "hold", timeout=1):
        threading.Timer(0.2, cancelled.set).start()
        started = time.monotonic()
        refusal = pytest.raises(TargetError, match="cancelled")
        with refusal, exclusive(tmp_path / "lock", "wait", timeout=30, cancelled=cancelled):
            pass
        assert time.monotonic() - started < 5


def test_a_lock_whose_file_was_deleted_by_its_holder_is_not_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    order: list[str] = []

    def second() -> None:
        with exclusive(path, "second", timeout=5):
            order.append("second")
            assert path.exists()

    with exclusive(path, "first", timeout=1):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        path.unlink()
        order.append("first")
    thread.join(10)
    assert order in (["first", "second"], ["second", "first"])
    with exclusive(path, "third", timeout=1):
        pass


def test_the_lock_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), exclusive(tmp_path / "lock", "try", timeout=1):
        pass
