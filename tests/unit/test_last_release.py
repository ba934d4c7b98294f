"""The last release's files are found in the history; where they are not, it is said what is missing and what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import last_release
from tools.paths import ROOT


def test_its_files_make_way_for_those_of_today_and_nothing_else_does(tmp_path: Path) -> None:
    last_release.put_last_release(tmp_path)
    assert (tmp_path / "Pulumi.yaml").exists()
    (tmp_path / "infra" / "not_of_git.py").touch()
    last_release.upgrade(tmp_path)
    assert _modules(tmp_path) - _modules(ROOT) == {Path("infra", "not_of_git.py")}
    assert _modules(ROOT) <= _modules(tmp_path)


def _modules(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in (root / "infra").glob("**/*.py")}


def test_a_repository_without_it_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    with pytest.raises(AssertionError, match=rf"{last_release.LAST_RELEASE}, is not in (.|\n)*git fetch --unshallow"):
        last_release.archive(tmp_path)
