"""What cannot be measured on containers is a note, and what an interrupted run left is ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.bench import cold_containers, container_stacks, refreshed_containers
from tests.bench.report import Report
from tests.support import engine
from tools.pulumi import docker_plugin


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_stacks, "absent", lambda: "a container engine: nobody answers")


@pytest.mark.usefixtures("nowhere")
def test_without_an_engine_both_parts_are_left_out_with_one_note(tmp_path: Path) -> None:
    report = Report({"cores": "2"})
    cold_containers.measure(tmp_path, 1, report)
    refreshed_containers.measure(tmp_path, 1, report)
    assert report.notes == ["Nothing was measured on containers, which needs a container engine: nobody answers."]
    assert (report.comparisons, report.failed) == ([], [])


def test_plugin_is_among_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))
    monkeypatch.setattr(engine, "absent", lambda _: "")
    assert container_stacks.absent().startswith("Pulumi's Docker plugin in ")
    (tmp_path / "plugins" / docker_plugin.FOLDER_NAME).mkdir(parents=True)
    assert container_stacks.absent() == ""


def test_runs_of_pulumi_that_still_go_are_interrupted_and_nobody_else(tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    program.symlink_to("/bin/sleep")
    run = subprocess.Popen([program, "600"], start_new_session=True)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        container_stacks.end_interrupted_runs()
        assert not psutil.pid_exists(run.pid)
        assert other.poll() is None
    finally:
        for process in (run, other):
            process.kill()
            process.wait()


def test_what_was_made_is_removed_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(engine, "belongings", lambda mark: [f"container of {mark}", "volume v"])
    monkeypatch.setattr(engine, "remove", removed.append)
    with pytest.raises(KeyboardInterrupt), container_stacks.nothing_left("mark"):
        raise KeyboardInterrupt
    assert removed == ["container of mark", "volume v"]
