"""Every target is in the help, and the help is what a bare `make` shows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from infra.cli import cli
from tools.paths import ROOT

TARGETS = {"up", "preview", "verify", "status", "down", "purge", "test", "faults", "bench", "lint", "fmt", "help"}


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_a_bare_make_shows_every_target() -> None:
    told = _make("--no-print-directory")
    assert told.returncode == 0
    assert {*re.findall(r"^  make (\w+)", told.stdout, re.MULTILINE), "help"} == TARGETS


def test_help_names_every_verb_and_the_words_that_confirm() -> None:
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


def test_no_line_is_wider_than_a_narrow_terminal() -> None:
    assert max(map(len, _make("help").stdout.splitlines())) <= 100


def test_every_line_runs_in_the_environment_or_prints() -> None:
    for line in (ROOT / "Makefile").read_text().splitlines():
        if line.startswith("\t"):
            assert line.startswith(("\t@echo", "\t$(IN_ENVIRONMENT)")), line
