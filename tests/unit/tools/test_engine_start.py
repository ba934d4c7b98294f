"""tests/images/engine.sh: starts Docker Engine where none answers, and only there. Scripts stand in for both programs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.paths import ROOT

FAKE_DOCKER = """#!/bin/sh
[ -e "$FAKE_ANSWERS" ]
"""

# Its name must stand first in its command line, as the real one's does: that is by what a dockerd is known.
FAKE_DOCKERD = """#!/usr/bin/env bash
echo "$*" >>"$FAKE_LOG"
echo 'level=fatal msg="cannot have iptables"'
[ "$FAKE_ENGINE" != broken ] || exit 1
echo $$ >"$2"
(sleep "$FAKE_SECONDS" && touch "$FAKE_ANSWERS") >/dev/null 2>&1 &
exec -a dockerd sleep 60
"""


class Machine:
    """A machine with a Docker Engine that is not running, and a copy of the script that keeps its files here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers = folder / "answers"
        self.asked = folder / "asked"
        self.log = folder / "dockerd.log"
        self.pid_file = folder / "docker.pid"
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.program("docker", FAKE_DOCKER)
        self.program("dockerd", FAKE_DOCKERD)
        self.program("id", "#!/bin/sh\necho 0\n")
        self.script = folder / "engine.sh"
        self.script.write_text(self._on_this_machine())
        self.script.chmod(0o755)

    def _on_this_machine(self) -> str:
        text = (ROOT / "tests" / "images" / "engine.sh").read_text()
        for real, here in (
            ("/var/log/circlepay-dockerd.log", self.log),
            ("/var/run/docker.pid", self.pid_file),
            ("/run/systemd/system", self.folder / "systemd"),
        ):
            assert real in text
            text = text.replace(real, str(here))
        return text

    def program(self, name: str, text: str) -> None:
        """A program of this machine."""
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """engine.sh; pytest waits for the end of its output, so an engine that kept it open would be noticed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")} | {
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "FAKE_ANSWERS": str(self.answers),
            "FAKE_LOG": str(self.asked),
            "FAKE_ENGINE": "sound",
            "FAKE_SECONDS": "0.5",
            "ENGINE_PATIENCE": "20",
        }
        argv = [str(self.script)]
        return subprocess.run(
            argv, env=environment | variables, capture_output=True, text=True, check=False, timeout=40
        )

    def started(self) -> int:
        """How often a dockerd was started."""
        return len(self.asked.read_text().splitlines()) if self.asked.exists() else 0

    def is_dockerd(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"dockerd\0")
        except OSError:
            return False


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    pid = int(made.pid_file.read_text()) if made.pid_file.exists() else 0
    if pid and made.is_dockerd(pid):
        os.kill(pid, signal.SIGKILL)


def test_an_engine_that_answers_is_used_as_it_is(machine: Machine) -> None:
    machine.answers.touch()
    run = machine.run(DOCKER_HOST="tcp://somebody.test:2375")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert machine.started() == 0


def test_where_none_answers_one_is_started_and_waited_for_and_outlives_the_script(machine: Machine) -> None:
    run = machine.run()
    assert (run.returncode, run.stdout) == (0, "docker engine: started\n")
    pid = int(machine.pid_file.read_text())
    assert machine.is_dockerd(pid)
    assert os.getsid(pid) == pid
    assert machine.run().stdout == ""
    assert machine.started() == 1


def test_one_that_is_still_starting_is_waited_for(machine: Machine) -> None:
    assert machine.run(FAKE_SECONDS="3", ENGINE_PATIENCE="1").returncode == 1
    run = machine.run()
    assert (run.returncode, run.stdout) == (0, "docker engine: started\n")
    assert machine.started() == 1


def test_a_pid_file_with_somebody_elses_number_does_not_disturb(machine: Machine) -> None:
    machine.pid_file.write_text(str(os.getpid()))
    assert machine.run().returncode == 0
    assert machine.started() == 1


def test_one_that_cannot_start_shows_why_at_once(machine: Machine) -> None:
    began = time.monotonic()
    run = machine.run(FAKE_ENGINE="broken")
    assert time.monotonic() - began < 10
    assert run.returncode == 1
    assert "circlepay: dockerd ended at once" in run.stderr
    assert "cannot have iptables" in run.stderr
    assert f"  -> its log: {machine.log}" in run.stderr


def test_one_that_never_answers_is_not_waited_for_for_ever(machine: Machine) -> None:
    run = machine.run(FAKE_SECONDS="30", ENGINE_PATIENCE="2")
    assert run.returncode == 1
    assert "no Docker engine answers after 2 s" in run.stderr


def test_somebody_elses_engine_is_not_replaced(machine: Machine) -> None:
    run = machine.run(DOCKER_HOST="tcp://somebody.test:2375")
    assert run.returncode == 1
    assert "DOCKER_HOST names an engine that does not answer: tcp://somebody.test:2375" in run.stderr
    assert machine.started() == 0


def test_without_root_it_says_what_to_do(machine: Machine) -> None:
    machine.program("id", "#!/bin/sh\necho 1000\n")
    run = machine.run()
    assert run.returncode == 1
    assert "run this as root once" in run.stderr
    assert machine.started() == 0


@pytest.mark.parametrize(("code", "says"), [(0, ""), (1, "systemd could not start docker")])
def test_where_systemd_runs_it_is_asked(machine: Machine, code: int, says: str) -> None:
    (machine.folder / "systemd").mkdir()
    machine.program("systemctl", f'#!/bin/sh\n[ "$*" = "start docker" ] && touch "$FAKE_ANSWERS"\nexit {code}\n')
    run = machine.run()
    assert run.returncode == code
    assert says in run.stderr
    assert machine.started() == 0
