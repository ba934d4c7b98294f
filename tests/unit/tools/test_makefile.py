"""Every target is in the help, and the help is what a bare `make` shows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from rich.cells import cell_len

from infra.cli import cli
from tools.paths import ROOT

TARGETS = {"up", "preview", "verify", "status", "down", "purge", "test", "faults", "bench", "lint", "fmt", "help"}


@pytest.fixture(params=["C", "ko_KR.UTF-8"])
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", request.param)
    return str(request.param)


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("first", "second", "korean"),
    [("", "ko_KR.UTF-8", True), ("ko", "", True), ("C", "ko_KR.UTF-8", False), ("", "kok_IN", False), ("", "", False)],
)
def test_help_is_korean_where_the_environment_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, first: str, second: str, korean: bool
) -> None:
    monkeypatch.setenv("LC_ALL", first)
    monkeypatch.setenv("LC_MESSAGES", "")
    monkeypatch.setenv("LANG", second)
    assert ("스택을 띄우거나" in _make("help").stdout) == korean


def test_a_bare_make_shows_every_target(language: str) -> None:
    told = _make("--no-print-directory")
    assert told.returncode == 0
    assert {*re.findall(r"^  make (\w+)", told.stdout, re.MULTILINE), "help"} == TARGETS


def test_help_names_every_verb_and_the_words_that_confirm(language: str) -> None:
    told = _make("help").stdout
    assert [verb for verb in cli.commands if not re.search(rf"\b{verb}\b", told.partition("VERB")[2])] == []
    assert "CONFIRM=purge" in told
    assert "CONFIRM=delete" in told


def test_every_target_exists() -> None:
    for target in TARGETS:
        assert _make("--dry-run", target).returncode == 0, target


@pytest.mark.parametrize(("code", "makes"), [(0, 0), (2, 0), (1, 2)])
def test_a_preview_that_finds_differences_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, makes: int
) -> None:
    circlepay = tmp_path / "circlepay"
    circlepay.write_text(f'#!/bin/sh\necho "$STACK: $*"\nexit {code}\n')
    circlepay.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    told = _make("preview", "IN_ENVIRONMENT=@env", "STACK=dev")
    assert (told.returncode, told.stdout) == (makes, "dev: preview --create\n")


def test_no_line_is_wider_than_a_narrow_terminal(language: str) -> None:
    assert max(map(cell_len, _make("help").stdout.splitlines())) <= 100


def test_every_line_runs_in_the_environment_or_prints() -> None:
    for line in (ROOT / "Makefile").read_text().splitlines():
        if line.startswith("\t"):
            assert line.startswith(("\t@echo", "\t$(IN_ENVIRONMENT)")), line
