"""kill -9 of a whole run after each single resource: the next `up` converges and nothing is applied twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from infra.targets.placement import clone_id
from tests.support.clones import Clone
from tests.support.live import LiveStack

RESOURCES = 13
"""Resources of a stack, the stack itself among them."""


def _recorded(clone: Clone) -> int:
    """Resources in the state file right now."""
    path = clone.root / ".circlepay" / "state" / ".pulumi" / "stacks" / "circlepay" / f"{clone.stack}.json"
    try:
        deployment = json.loads(path.read_text())["checkpoint"]["latest"]
    except (OSError, ValueError):
        return 0
    return len((deployment or {}).get("resources") or [])


def _started_up(clone: Clone, recorded: int) -> subprocess.Popen[bytes]:
    """An `up` that has recorded that many resources, or has ended."""
    process = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", clone.stack],
        cwd=clone.root,
        env=clone.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and _recorded(clone) < recorded:
        time.sleep(0.01)
    return process


def _kill_after(clone: Clone, recorded: int) -> None:
    """Kills an `up` with everything Pulumi started, servers excepted, once that many resources are recorded."""
    process = _started_up(clone, recorded)
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    process.wait(timeout=30)


@pytest.mark.timeout(900)
def test_killed_after_each_resource_the_next_up_converges(clone: Clone) -> None:
    for recorded in range(2, RESOURCES + 1):
        _kill_after(clone, recorded)
        clone.recover()
    clone.make_up().expect()
    live = LiveStack(clone)
    live.app_stub()
    with live.as_superuser() as connection:
        applied = connection.execute("SELECT version FROM circlepay.migrations ORDER BY version").fetchall()
    assert len(applied) == len(list((clone.root / "sql" / "migrations").glob("*.sql")))
    assert set(clone.up_counts()) == {"same"}


def test_killed_at_a_fresh_clone_each_time(clone: Clone) -> None:
    """Killing while the databases are being made, again and again from nothing, leaves nothing that stops the next run."""
    for recorded in (4, 6, 8):
        _kill_after(clone, recorded)
        clone.make_up().expect()
        LiveStack(clone).app_stub()
        clone.pulumi("state", "unprotect", "--all", "--yes", "--stack", clone.stack).expect()
        clone.pulumi("destroy", "--yes", "--skip-preview", "--stack", clone.stack).expect()
        assert not (Path(clone.config["circlepay:processes"]["dataDirectory"]) / clone_id(clone.root)).exists()


def test_an_interrupted_up_ends_in_order_and_the_next_converges(clone: Clone) -> None:
    """Ctrl-C: Pulumi asks the provider to cancel, ends what runs, and leaves neither lock nor torn state."""
    for recorded in (4, 6, 9):
        process = _started_up(clone, recorded)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        locks = list((clone.root / ".circlepay" / "state" / ".pulumi" / "locks").glob("**/*.json"))
        assert locks == []
    clone.up().expect()
    LiveStack(clone).app_stub()
    assert set(clone.up_counts()) == {"same"}
