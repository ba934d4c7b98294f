"""kill -9 of a whole run after each single resource: the next `up` converges and nothing is applied twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psutil
import pytest

from tests.contract.conftest import left_behind
from tests.support.clones import Clone
from tests.support.engine import ServerContainer
from tests.support.live import LiveStack

RESOURCES = {"processes": 14, "docker": 28}
"""Resources of a stack by its target, the stack itself and its providers among them."""
SERVERS_STAND = {"processes": 14, "docker": 21}
"""The number of them after which a stack on the target goes on as on the other, to be killed no more."""
EVERY_FAULT = bool(os.environ.get("EVERY_FAULT"))
"""EVERY_FAULT=1 (`make faults`): a run is killed after each single resource, not only after the first of each of these."""
KILLED_AFTER = {
    "processes": ("GeneratedSecrets", "ServerLocation", "Server", "Database", "Schema", "Access", "Verification"),
    "docker": (
        "GeneratedSecrets",
        "ImagePin",
        "RemoteImage",
        "ServerLocation",
        "Volume",
        "ContainerImage",
        "Container",
    ),
}
"""Types of resources on a target: while one of them is recorded, those of the next are being made."""


def _target(clone: Clone) -> str:
    return str(clone.config.get("circlepay:target", "processes"))


def _share(clone: Clone, of_processes: int) -> int:
    """As many resources of this stack as those are of a stack on `processes`."""
    return round(of_processes * RESOURCES[_target(clone)] / RESOURCES["processes"])


def _resources(clone: Clone) -> list[dict[str, Any]]:
    """Resources in the state file right now."""
    path = clone.root / ".circlepay" / "state" / ".pulumi" / "stacks" / "circlepay" / f"{clone.stack}.json"
    try:
        deployment = json.loads(path.read_text())["checkpoint"]["latest"]
    except (OSError, ValueError):
        return []
    return (deployment or {}).get("resources") or []


def _kill_points(clone: Clone) -> list[Callable[[], bool]]:
    target = _target(clone)
    if EVERY_FAULT:
        return [_recorded(clone, number) for number in range(2, SERVERS_STAND[target] + 1)]
    return [partial(_has_recorded, clone, kind) for kind in KILLED_AFTER[target]]


def _has_recorded(clone: Clone, kind: str) -> bool:
    return any(each["type"].rpartition(":")[2] == kind for each in _resources(clone))


def _recorded(clone: Clone, number: int) -> Callable[[], bool]:
    """Whether so many resources are recorded."""
    return lambda: len(_resources(clone)) >= number


def _started_up(clone: Clone, until: Callable[[], bool]) -> subprocess.Popen[bytes]:
    """An `up` of which that has come true, or which has ended."""
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
    while process.poll() is None and time.monotonic() < deadline and not until():
        time.sleep(0.01)
    return process


def _kill_once(clone: Clone, until: Callable[[], bool]) -> None:
    """Kills an `up` with everything Pulumi started, servers excepted, once that has come true."""
    process = _started_up(clone, until)
    family = [process.pid]
    with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended by itself, and then so have they
        family += [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    process.wait(timeout=30)


@pytest.mark.timeout(900)
def test_killed_between_resources_the_next_up_converges(clone: Clone) -> None:
    for point in _kill_points(clone):
        if not point():  # else the run before got further than it was meant to: there is nothing between the two
            _kill_once(clone, point)
            clone.recover()
    clone.make_up().expect()
    _stands_as_if_nothing_had_been(clone)
    recorded = [
        f"{each['type']} {each['urn'].rpartition('::')[2]}{' to be deleted' if each.get('delete') else ''}"
        for each in _resources(clone)
    ]
    assert len(recorded) == RESOURCES[_target(clone)], "\n".join(recorded)


def _stands_as_if_nothing_had_been(clone: Clone) -> None:
    live = LiveStack(clone)
    live.app_stub()
    with live.as_superuser() as connection:
        applied = connection.execute("SELECT version FROM circlepay.migrations ORDER BY version").fetchall()
    assert len(applied) == len(list((clone.root / "sql" / "migrations").glob("*.sql")))
    assert set(clone.up_counts()) == {"same"}


def test_killed_at_a_fresh_clone_each_time(clone: Clone) -> None:
    """Killing while the databases are being made, again and again from nothing, leaves nothing that stops the next run."""
    for number in (4, 6, 8):
        _kill_once(clone, _recorded(clone, _share(clone, number)))
        clone.make_up().expect()
        LiveStack(clone).app_stub()
        clone.delete().expect()
        assert left_behind(clone) == []


def test_an_interrupted_up_ends_in_order_and_the_next_converges(clone: Clone) -> None:
    """Ctrl-C: Pulumi asks the provider to cancel, ends what runs, and leaves neither lock nor torn state."""
    for number in (4, 6, 9):
        process = _started_up(clone, _recorded(clone, _share(clone, number)))
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        locks = list((clone.root / ".circlepay" / "state" / ".pulumi" / "locks").glob("**/*.json"))
        assert locks == []
    clone.up().expect()
    LiveStack(clone).app_stub()
    assert set(clone.up_counts()) == {"same"}


@pytest.mark.only_on_docker
@pytest.mark.parametrize("server", ["postgres", "redis"])
def test_killed_as_soon_as_a_container_is_there(clone: Clone, server: str) -> None:
    """It may be recorded or not: either way there is one container in the end, and all of it works."""
    name = f"{server}-circlepay{clone.suffix}"
    _kill_once(clone, lambda: bool(ServerContainer(name, 0, "").status))
    clone.make_up().expect()
    _stands_as_if_nothing_had_been(clone)


@pytest.mark.only_on_docker
def test_a_container_that_was_made_and_not_recorded(clone: Clone) -> None:
    """What a run leaves that is killed between the two."""
    clone.up().expect()
    live = LiveStack(clone)
    live.insert_user("kept@example.com")
    before = live.identities()
    for resource in _resources(clone):
        if resource["type"] == "docker:index/container:Container":
            forget = ("state", "delete", "--yes", "--target-dependents", "--stack", clone.stack)
            clone.pulumi(*forget, resource["urn"]).expect()
    clone.up().expect()
    _stands_as_if_nothing_had_been(clone)
    assert live.identities().keys() == before.keys()
    assert not set(live.identities().values()) & set(before.values())
    with live.as_application() as connection:
        assert connection.execute("SELECT count(*) FROM users WHERE email = 'kept@example.com'").fetchone() == (1,)
