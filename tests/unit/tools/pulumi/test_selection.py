"""Whose `pulumi` is used. Scripts stand in for CLIs of other versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.pulumi import build, selection


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(selection, "ACCEPTED", tmp_path / "accepted.json")
    monkeypatch.setattr(build, "install", lambda: tmp_path / "built")
    return folder


def _put(folder: Path, version: str, *, language_host: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pulumi", *(["pulumi-language-python"] if language_host else [])):
        (folder / name).write_text(f"#!/bin/sh\necho asked >>{folder}/asked\necho {version}\n")
        (folder / name).chmod(0o755)


@pytest.mark.parametrize("version", ["v3.190.0", "v3.259.0", "v4.0.0", "v3.200.0-alpha.1"])
def test_a_new_enough_one_is_the_users_own(theirs: Path, version: str) -> None:
    _put(theirs, version)
    assert selection.choose() == (theirs, False)


@pytest.mark.parametrize("version", ["v3.189.9", "v2.25.0", "broken"])
def test_an_older_one_is_named_and_left(theirs: Path, version: str, capsys: pytest.CaptureFixture[str]) -> None:
    _put(theirs, version)
    assert selection.choose() == (theirs.parent / "built", True)
    assert f"{theirs}/pulumi" in capsys.readouterr().err


def test_one_that_cannot_run_python_is_named_and_left(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _put(theirs, "v3.259.0", language_host=False)
    assert selection.choose()[1] is True
    assert "pulumi-language-python" in capsys.readouterr().err


def test_without_one_it_is_built(theirs: Path) -> None:
    assert selection.choose() == (theirs.parent / "built", True)


def test_its_version_is_asked_once_and_again_when_it_changed(theirs: Path) -> None:
    _put(theirs, "v3.259.0")
    for _ in range(3):
        selection.choose()
    assert (theirs / "asked").read_text().count("asked") == 1
    _put(theirs, "v3.1.0 ")
    assert selection.choose()[1] is True


def test_one_that_this_project_built_is_not_taken_for_the_users(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = theirs.parent / "cache" / "circlepay" / "toolchain" / "abc" / "bin"
    _put(ours, "v3.259.0")
    monkeypatch.setenv("PATH", f"{ours}{os.pathsep}{os.environ['PATH']}")
    assert selection.choose() == (theirs.parent / "built", True)
