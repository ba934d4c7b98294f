"""tools/environment.sh: the way into the project's environment, on machines of every kind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from infra.version import VERSION
from tools import environment
from tools.paths import PROGRAMS, ROOT

SCRIPT = ROOT / "tools" / "environment.sh"


def _run(*arguments: str, script: Path = SCRIPT, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "STACK"}
    return subprocess.run(
        [str(script), *arguments], env=inherited | variables, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_command_runs_at_the_root_with_the_projects_python() -> None:
    result = _run("--no-toolchain", "python", "-c", "import os, sys, psycopg; print(sys.executable, os.getcwd())")
    assert result.stdout.split() == [str(ROOT / ".venv" / "bin" / "python"), str(ROOT)]
    assert result.stderr == ""


def test_its_exit_code_is_the_commands() -> None:
    assert _run("--no-toolchain", "sh", "-c", "exit 7").returncode == 7


def test_a_command_in_the_background_heeds_interrupts() -> None:
    ask = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = _run("--no-toolchain", "python", "-c", ask)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.stdout == "False\n"


def test_arguments_arrive_as_they_are() -> None:
    odd = ["a b", "$HOME", "*", "'", '"', ""]
    assert _run("--no-toolchain", "python", "-c", "import sys; print(sys.argv[1:])", *odd).stdout.strip() == str(odd)


@pytest.mark.parametrize("stack", ["../x", "a b", "-x", "a/b"])
def test_a_name_that_is_none_is_refused(stack: str) -> None:
    result = _run("--no-toolchain", "true", STACK=stack)
    assert result.returncode == 1
    assert "is not the name of a stack" in result.stderr


def test_a_missing_command_is_one_line() -> None:
    result = _run("--no-toolchain", "no-such-command")
    assert result.returncode == 1
    assert result.stderr == "circlepay: there is no command no-such-command in this environment\n"


def test_without_a_command_it_says_how_it_is_used() -> None:
    result = _run()
    assert result.returncode == 2
    assert result.stderr.startswith("usage: tools/environment.sh")


def test_circlepay_is_on_path_and_runs_the_code_of_this_folder_from_anywhere(tmp_path: Path) -> None:
    for name in ("infra", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)")
    done = _run("--no-toolchain", "sh", "-c", 'cd "$1" && circlepay --version', "sh", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"circlepay {VERSION}\n"), done.stderr


def test_circlepay_without_an_environment_says_what_makes_it(tmp_path: Path) -> None:
    program = tmp_path / "tools" / "bin" / "circlepay"
    program.parent.mkdir(parents=True)
    shutil.copy(PROGRAMS / "circlepay", program)
    done = subprocess.run([program, "status"], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert done.stderr.startswith(f"circlepay: {tmp_path}/.venv is missing")
    assert "`tools/environment.sh circlepay`" in done.stderr


def test_exported_lines_survive_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    lines = environment.exports({"ODD": "a 'b' $(c)\nd", "PATH": os.environ["PATH"]})
    assert "PATH" not in lines
    told = subprocess.run(["sh", "-c", f'{lines}\nprintf %s "$ODD"'], capture_output=True, text=True, check=True)
    assert told.stdout == "a 'b' $(c)\nd"
    assert "unset PYTHONHOME" in lines


@pytest.mark.parametrize(("version", "status"), [("Python 3.9.2", 1), ("", 127)])
def test_a_python_that_is_too_old_is_named_with_what_to_install(tmp_path: Path, version: str, status: int) -> None:
    shutil.copytree(ROOT / "tools", tmp_path / "clone" / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "cat", "sh"):
        (programs / name).symlink_to(str(shutil.which(name)))
    if version:
        (programs / "python3").write_text(f'#!/bin/sh\n[ "$1" = -V ] && echo "{version}" && exit 0\nexit {status}\n')
        (programs / "python3").chmod(0o755)
    result = _run("true", script=tmp_path / "clone" / "tools" / "environment.sh", PATH=str(programs))
    assert result.returncode == 1
    assert f"Python 3.11 or later is needed; found on PATH: {version or 'no python3'}" in result.stderr
    assert "apt-get install python3" in result.stderr
