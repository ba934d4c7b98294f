"""The Python packages: installed when the lock file says so, once, and again from nothing when that was cut short."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools import python_environment
from tools.paths import PROGRAMS
from tools.running import ToolError

FAKE_UV = """#!/bin/sh
[ "$1" != --version ] || exit 0
echo "$@" >>"$FAKE_LOG"
[ -z "$FAKE_ERROR" ] || { echo "$FAKE_ERROR" >&2; exit 2; }
mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"
ln -sf /bin/true "$UV_PROJECT_ENVIRONMENT/bin/python"
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(FAKE_UV)
    uv.chmod(0o755)
    root = tmp_path / "clone"
    root.mkdir()
    for name in ("uv.lock", "pyproject.toml"):
        (root / name).write_text("1")
    for name, path in (
        ("ROOT", root),
        ("CLONE_STATE", root / ".circlepay"),
        ("VIRTUAL_ENVIRONMENT", root / ".venv"),
        ("STAMP", root / ".venv" / ".circlepay-stamp"),
        ("UNFINISHED", root / ".circlepay" / "installing-packages"),
    ):
        monkeypatch.setattr(python_environment, name, path)
    monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_ERROR", "")
    return root


def _runs(clone: Path) -> list[str]:
    log = clone.parent / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_packages_are_installed_from_the_lock_file_once(clone: Path) -> None:
    python_environment.prepare()
    python_environment.prepare()
    assert len(_runs(clone)) == 1
    assert _runs(clone)[0].startswith("sync --locked --quiet --python /")


@pytest.mark.parametrize("name", ["uv.lock", "pyproject.toml"])
def test_another_lock_file_installs_again(clone: Path, name: str) -> None:
    python_environment.prepare()
    (clone / name).write_text("2")
    python_environment.prepare()
    assert _runs(clone)[1:] == ["sync --locked --quiet"]


def test_a_python_that_is_gone_installs_again(clone: Path) -> None:
    python_environment.prepare()
    (clone / ".venv" / "bin" / "python").unlink()
    python_environment.prepare()
    assert len(_runs(clone)) == 2


def test_what_was_cut_short_is_started_over(clone: Path) -> None:
    python_environment.prepare()
    half = clone / ".venv" / "half-installed"
    half.touch()
    (clone / ".circlepay" / "installing-packages").touch()
    python_environment.prepare()
    assert not half.exists()
    assert len(_runs(clone)) == 2


def test_a_failure_says_what_uv_said_and_the_next_run_tries_again(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERROR", "the lock file needs to be updated")
    with pytest.raises(ToolError, match="the lock file needs to be updated"):
        python_environment.prepare()
    monkeypatch.setenv("FAKE_ERROR", "")
    python_environment.prepare()
    assert len(_runs(clone)) == 2


def test_its_programs_come_first_and_once(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [str(clone / ".venv" / "bin"), str(PROGRAMS)]
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/bin", *own, "/bin"]))
    for name in python_environment.UNWANTED:
        monkeypatch.setenv(name, "/elsewhere")
    variables = python_environment.environment()
    assert variables["PATH"].split(os.pathsep) == [*own, "/usr/bin", "/bin"]
    assert not variables.keys() & set(python_environment.UNWANTED)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, None),
        ({"http_proxy": "http://192.0.2.1:1"}, "127.0.0.1,localhost,::1"),
        ({"HTTPS_PROXY": "http://192.0.2.1:1", "no_proxy": "inside,localhost"}, "inside,localhost,127.0.0.1,::1"),
    ],
)
def test_no_proxy_is_asked_for_loopback(
    given: dict[str, str], kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    variables = python_environment.environment()
    assert [variables.get(name) for name in python_environment.NO_PROXY] == [kept] * 3
