"""Every target is in the help, and the help is what a bare `make` shows."""

from __future__ import annotations

import re
import subprocess

from infra.cli import cli
from tools.paths import ROOT

TARGETS = {"up", "preview", "verify", "status", "down", "purge", "test", "bench", "lint", "fmt", "help"}


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


def test_no_line_is_wider_than_a_narrow_terminal() -> None:
    assert max(map(len, _make("help").stdout.splitlines())) <= 100


def test_every_line_runs_in_the_environment_or_prints() -> None:
    for line in (ROOT / "Makefile").read_text().splitlines():
        if line.startswith("\t"):
            assert line.startswith(("\t@echo", "\t$(IN_ENVIRONMENT)")), line
