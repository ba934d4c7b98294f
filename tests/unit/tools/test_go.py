"""Building Go programs: once, whole or not at all, by one at a time. A script stands in for Go's compiler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import go, python_environment
from tools.paths import ROOT
from tools.running import ToolError

FAKE_GO = """#!/bin/sh
case $1 in
    env) printf 'go%s\\n%s\\n' "$FAKE_VERSION" "$FAKE_TOOLCHAIN" ;;
    build)
        echo built >>"$FAKE_LOG"
        [ -z "$FAKE_ERROR" ] || { echo "$FAKE_ERROR"; exit 1; }
        sleep "$FAKE_SECONDS"
        while [ "$1" != -o ]; do shift; done
        echo program >"$2"
        ;;
esac
"""

BUILD = """
from pathlib import Path
from tools import go
print(go.build("things", [go.Program(Path({module!r}), "example.com/cmd/thing", "no time")], announcement="building"))
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "go"
    program.parent.mkdir()
    program.write_text(FAKE_GO)
    program.chmod(0o755)
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.com\n\ngo 1.25.11\n")
    for name in ("go.sum", "tools.go"):
        (module / name).write_text("")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in (("VERSION", "1.26.1"), ("TOOLCHAIN", "local"), ("SECONDS", "0"), ("ERROR", "")):
        monkeypatch.setenv(f"FAKE_{name}", value)
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return tmp_path


def _program(machine: Path) -> go.Program:
    return go.Program(machine / "module", "example.com/cmd/thing", "no time")


def _builds(machine: Path) -> int:
    log = machine / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def _start(machine: Path) -> subprocess.Popen[str]:
    code = BUILD.format(module=str(machine / "module"))
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _wait_for_build(machine: Path) -> None:
    deadline = time.monotonic() + 20
    while _builds(machine) == 0:
        assert time.monotonic() < deadline, "no build began"
        time.sleep(0.02)


def test_a_program_is_built_once(machine: Path) -> None:
    folder = go.build("things", [_program(machine)], announcement="")
    assert (folder / "thing").read_text() == "program\n"
    assert go.build("things", [_program(machine)], announcement="") == folder
    assert _builds(machine) == 1


def test_another_pin_is_another_build(machine: Path) -> None:
    folder = go.build("things", [_program(machine)], announcement="")
    (machine / "module" / "go.sum").write_text("another\n")
    assert go.build("things", [_program(machine)], announcement="") != folder


def test_a_failed_build_shows_why_and_leaves_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERROR", "undefined: Everything")
    with pytest.raises(ToolError, match="undefined: Everything"):
        go.build("things", [_program(machine)], announcement="")
    assert not go.destination("things", [_program(machine)]).exists()


def test_of_two_at_once_one_builds_and_the_other_waits(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "1")
    runs = [_start(machine), _start(machine)]
    told = {run.communicate(timeout=60)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    assert len(told) == 1
    assert _builds(machine) == 1


def test_a_killed_build_leaves_nothing_that_looks_finished(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "3")
    run = _start(machine)
    _wait_for_build(machine)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=10)
    target = go.destination("things", [_program(machine)])
    assert not target.exists()
    monkeypatch.setenv("FAKE_SECONDS", "0")
    assert (go.build("things", [_program(machine)], announcement="") / "thing").exists()
    assert sorted(path.name for path in target.parent.iterdir()) == [target.name]


@pytest.mark.parametrize(
    ("version", "toolchain", "expected"),
    [
        ("1.25.11", "local", True),
        ("1.26", "local", True),
        ("1.25.10", "local", False),
        ("1.21.0", "auto", True),
        ("1.21.0", "local", False),
        ("1.19.8", "", False),
        ("nonsense", "", False),
    ],
)
def test_a_go_that_can_build_this(
    machine: Path, monkeypatch: pytest.MonkeyPatch, version: str, toolchain: str, expected: bool
) -> None:
    monkeypatch.setenv("FAKE_VERSION", version)
    monkeypatch.setenv("FAKE_TOOLCHAIN", toolchain)
    monkeypatch.setattr(python_environment, "install_group", _refuse)
    if expected:
        assert go.find((1, 25, 11)).program == str(machine / "bin" / "go")
    else:
        with pytest.raises(ToolError, match="took the wheel"):
            go.find((1, 25, 11))


def _refuse(group: str, folder: Path) -> None:
    raise ToolError("took the wheel")
