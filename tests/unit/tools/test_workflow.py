"""The workflow for pull requests: valid, without secrets, and running the same script as everybody else."""

from __future__ import annotations

import re
import subprocess
import sys

from tools.paths import ROOT

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
