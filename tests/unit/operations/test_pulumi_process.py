"""How a run of Pulumi ends, and what is told of it. A script stands in for `pulumi`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.operations import run_note
from infra.operations.preview import Planned
from tests.unit.operations.test_preview import CHANGE
from tests.unit.operations.test_progress import diagnostic_event, step_event
from tools.paths import ROOT


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose `pulumi` is the script that a test writes."""
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    return dict(os.environ) | {
        "PATH": path,
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
        "PYTHONPATH": str(ROOT),
        "HERE": str(tmp_path),
    }


def _pulumi(folder: Path, script: str) -> None:
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


RUN = """
import sys
from pathlib import Path
from infra.operations import pulumi_process
sys.exit(pulumi_process.run("local", sys.argv[1], project_root=Path.cwd()))
"""
ARGV = [sys.executable, "-c", RUN, "up"]


def _run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ARGV, cwd=environment["HERE"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_run_that_succeeds_tells_no_more_than_its_events(tmp_path: Path, environment: dict[str, str]) -> None:
    event = json.dumps(diagnostic_event("starting redis", ephemeral=True))
    _pulumi(tmp_path, f"printf '%s\\n' '{event}'; echo 'warning: a newer version' >&2")
    done = _run(environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "  starting redis\n", "")


def test_a_failed_run_ends_with_its_own_errors_once(tmp_path: Path, environment: dict[str, str]) -> None:
    event = json.dumps(diagnostic_event("no room\n  -> make some", "error"))
    _pulumi(tmp_path, f"printf '%s\\n' '{event}'; echo 'error: update failed' >&2; exit 255")
    done = _run(environment)
    assert done.returncode == 255
    assert done.stderr == "circlepay: no room\n  -> make some\n"
    assert reason(tmp_path) == "no room\n  -> make some"
    assert run_note.path_of("local", tmp_path).stat().st_mode & 0o777 == 0o600
    _pulumi(tmp_path, "true")
    assert _run(environment).returncode == 0
    assert reason(tmp_path) == ""


def test_a_run_notes_what_its_finished_steps_changed(tmp_path: Path, environment: dict[str, str]) -> None:
    new = {"outputs": {"changes": [CHANGE]}}
    events = [
        step_event("resourcePreEvent", "update", "Schema", "begun", new=new),
        step_event("resOutputsEvent", "update", "Schema", "schema", new=new),
        step_event("resOutputsEvent", "update", "Access", "access", new={"outputs": {"changes": []}}),
        step_event("resOutputsEvent", "same", "Server", "redis", new=new),
    ]
    (tmp_path / "events").write_text("\n".join(map(json.dumps, events)))
    _pulumi(tmp_path, f"cat {tmp_path}/events")
    _run(environment)
    note = run_note.read("local", tmp_path)
    assert note is not None
    assert note.done == (Planned("schema", "Schema", "update", (CHANGE,)),)
    assert note.began <= note.ended


def reason(folder: Path) -> str:
    """Why the last run failed, as it noted."""
    note = run_note.read("local", folder)
    assert note is not None
    return note.reason


def test_without_an_error_event_pulumis_own_words_are_told(tmp_path: Path, environment: dict[str, str]) -> None:
    _pulumi(tmp_path, "echo 'error: no such thing' >&2; exit 255")
    assert _run(environment).stderr == "circlepay: no such thing\n"


def test_a_wrong_passphrase_is_told_with_where_it_comes_from(tmp_path: Path, environment: dict[str, str]) -> None:
    _pulumi(
        tmp_path,
        "echo 'error: getting stack configuration: get stack secrets manager: incorrect passphrase' >&2; exit 255",
    )
    told = _run(environment).stderr
    assert told.startswith("circlepay: read stack: local: its secrets cannot be decrypted with this passphrase\n  -> ")
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in told
    assert ".circlepay/passphrase" in told


def test_a_silent_failure_is_not_silent_here(tmp_path: Path, environment: dict[str, str]) -> None:
    _pulumi(tmp_path, "exit 3")
    done = _run(environment)
    assert done.returncode == 3
    assert "without a message" in done.stderr


ABSENT = {
    "urn": "urn:pulumi:x::circlepay::docker:index/volume:Volume::redis-data",
    "message": "1 error occurred:\n\t* failed to create Docker client: Error pinging Docker server, please make sure that "
    "unix:///x.sock is reachable. Error: Cannot connect to the Docker daemon at unix:///x.sock. Is it running?\n\n",
}


def _absent_engine(folder: Path, *, until: str) -> None:
    """A `pulumi` that finds no engine, unless one of its words is `until`."""
    (folder / "event").write_text(json.dumps(diagnostic_event(severity="error", **ABSENT)))
    found = f'case "$*" in *{until}*) exit 0;; esac'
    _pulumi(folder, f'echo "$@" >>{folder}/asked; {found}; cat {folder}/event; echo; exit 255')


def test_an_engine_that_has_moved_is_looked_for_where_it_is_declared(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    _absent_engine(tmp_path, until="--run-program")
    done = _run(environment)
    assert done.returncode == 0
    assert "looking at the one that is declared now" in done.stderr
    assert len((tmp_path / "asked").read_text().splitlines()) == 2
    assert reason(tmp_path) == ""


def test_an_engine_that_is_nowhere_is_told_once(tmp_path: Path, environment: dict[str, str]) -> None:
    _absent_engine(tmp_path, until="--never")
    done = _run(environment)
    assert done.returncode == 255
    assert done.stderr.count("there is no container engine") == 1
    assert "circlepay: pulumi-docker: unix:///x.sock: there is no container engine\n  -> start" in done.stderr
    assert len((tmp_path / "asked").read_text().splitlines()) == 2


def test_a_stack_is_not_taken_down_by_what_the_program_declares(tmp_path: Path, environment: dict[str, str]) -> None:
    _absent_engine(tmp_path, until="--never")
    down = [*ARGV[:-1], "destroy"]
    done = subprocess.run(down, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 255
    assert len((tmp_path / "asked").read_text().splitlines()) == 1


LOCKED = """error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the
lock file with `pulumi cancel`."""


def test_a_lock_that_came_in_between_is_told_without_advice_to_remove_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    _pulumi(tmp_path, f"cat >&2 <<'END'\n{LOCKED}\nEND\nexit 255")
    done = _run(environment)
    assert done.returncode == 255
    assert "another run that started at the same time" in done.stderr
    assert "wait until that run has ended" in done.stderr
    assert "cancel" not in done.stderr


def test_two_silent_seconds_are_never_three(tmp_path: Path, environment: dict[str, str]) -> None:
    event = json.dumps(step_event("resourcePreEvent", "create", "Server", "redis"))
    _pulumi(tmp_path, f"printf '%s\\n' '{event}'; sleep 2.6")
    assert "  still working after 2 s: redis\n" in _run(environment).stdout


def test_words_that_are_no_event_are_words(tmp_path: Path, environment: dict[str, str]) -> None:
    _pulumi(tmp_path, "echo '{half'; echo '[1]'; exit 1")
    assert _run(environment).stderr == "circlepay: {half\ncirclepay: [1]\n"


SILENT = """
from pathlib import Path
from infra.operations import pulumi_process
pulumi_process.run_silently(["refresh"], "local", Path.cwd())
print("went on")
"""


@contextmanager
def _begun(
    folder: Path, environment: dict[str, str], argv: Sequence[str] = ARGV, **dispositions: signal.Handlers
) -> Iterator[subprocess.Popen[str]]:
    """A run whose `pulumi` has begun, started with these signals at their default or ignored."""
    before = {name: signal.signal(signal.Signals[name], how) for name, how in dispositions.items()}
    try:
        # A group of its own, as a terminal gives a command: Ctrl-C goes to all of it.
        child = subprocess.Popen(
            argv,
            cwd=environment["HERE"],
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
    finally:
        for name, how in before.items():
            signal.signal(signal.Signals[name], how)
    with child:
        deadline = time.monotonic() + 20
        while not (folder / "began").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_reaches_pulumi_once_and_its_end_is_waited_for(
    tmp_path: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    _pulumi(
        tmp_path,
        f"trap 'echo int >>{tmp_path}/log' INT\ntouch {tmp_path}/began\n"
        "i=0; while [ $i -lt 100 ] && ! [ -s " + f"{tmp_path}/log ]; do sleep 0.1; i=$((i+1)); done\n"
        f"sleep 0.3; echo ended >>{tmp_path}/log; exit 7",
    )
    # At its default, although these tests themselves may run under nohup.
    with _begun(tmp_path, environment, SIGHUP=signal.SIG_DFL) as child:
        os.killpg(child.pid, number)
        told = child.communicate(timeout=20)[1]
    assert child.returncode == 7
    assert (tmp_path / "log").read_text() == "int\nended\n"
    assert "interrupted" in told


def test_an_interrupted_command_has_ended_before_nothing_follows_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    _pulumi(
        tmp_path,
        f"trap 'echo ended >>{tmp_path}/log; exit 1' INT\ntouch {tmp_path}/began\n"
        "i=0; while [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done",
    )
    with _begun(tmp_path, environment, [sys.executable, "-c", SILENT]) as child:
        os.killpg(child.pid, signal.SIGINT)
        told, errors = child.communicate(timeout=20)
    assert (tmp_path / "log").read_text() == "ended\n"
    assert told == ""
    assert "KeyboardInterrupt" in errors


def test_a_run_under_nohup_outlives_its_terminal(tmp_path: Path, environment: dict[str, str]) -> None:
    _pulumi(
        tmp_path,
        f"trap 'echo int >>{tmp_path}/log' INT\ntouch {tmp_path}/began\n"
        f"i=0; while [ $i -lt 10 ]; do sleep 0.1; i=$((i+1)); done\necho ended >>{tmp_path}/log",
    )
    with _begun(tmp_path, environment, SIGHUP=signal.SIG_IGN) as child:
        os.killpg(child.pid, signal.SIGHUP)
        told = child.communicate(timeout=20)[1]
    assert child.returncode == 0
    assert (tmp_path / "log").read_text() == "ended\n"
    assert told == ""
