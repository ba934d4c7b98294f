"""The workflow for pull requests: valid, without secrets, and running the same script as everybody else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.images import references as test_images
from tools import go
from tools.actionlint import __main__ as actionlint
from tools.paths import ROOT, cache
from tools.pulumi import build, docker_plugin

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_actionlint_finds_nothing() -> None:
    argv = [sys.executable, "-m", "tools.actionlint", *map(str, WORKFLOWS)]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert (result.returncode, result.stdout) == (0, "")


def test_it_runs_the_same_script_and_sees_no_secret() -> None:
    text = (ROOT / ".github" / "workflows" / "pull-request.yml").read_text()
    assert "bash .ci/run" in text
    assert "${{ secrets" not in text
    assert "pull_request_target" not in text
    assert re.search(r"^permissions:\n  contents: read$", text, re.MULTILINE)


def test_actions_are_pinned_by_commit() -> None:
    for workflow in WORKFLOWS:
        for used in re.findall(r"uses: (\S+)", workflow.read_text()):
            assert re.search(r"@[0-9a-f]{40}$", used), used


def _steps() -> list[dict[str, Any]]:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pull-request.yml").read_text())
    steps: list[dict[str, Any]] = workflow["jobs"]["test"]["steps"]
    return steps


def _matched(pattern: str) -> set[Path]:
    """What an argument of hashFiles stands for; a folder's `**` is every file below it."""
    return {path for path in ROOT.glob(f"{pattern}/*" if pattern.endswith("**") else pattern) if path.is_file()}


@pytest.mark.parametrize(
    ("kind", "programs", "asks"),
    [
        ("toolchain", build.PROGRAMS, "tools/pulumi/build.py"),
        ("docker-plugin", [docker_plugin.PROGRAM], "tools/pulumi/docker_plugin.py"),
        ("actionlint", [actionlint.PROGRAM], "tools/actionlint/__main__.py"),
    ],
)
def test_what_is_built_is_cached_until_something_it_is_built_from_changes(
    kind: str, programs: Sequence[go.Program], asks: str
) -> None:
    built = f"circlepay/{go.destination(kind, programs).relative_to(cache()).parts[0]}"
    (step,) = (step for step in _steps() if f".ci-caches/{built}" in step.get("with", {}).get("path", "").split())
    keyed = set().union(*map(_matched, re.findall(r"'([^']+)'", step["with"]["key"])))
    sources = {path for program in programs for path in go.sources(program.module)}
    assert sources | {ROOT / "tools" / "go.py", ROOT / asks} <= keyed


def test_it_has_the_history_that_the_last_release_is_taken_from() -> None:
    (checkout,) = (step for step in _steps() if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["fetch-depth"] == 0


def test_it_runs_on_the_official_images_with_an_engine_of_its_own() -> None:
    *_, away, last = _steps()
    assert last["env"][test_images.OFFICIAL_BY] == 1
    assert "umount /run/docker.sock" in away["run"]
