"""REQUIRE_ALL turns every skip into a failure that keeps its reason; without it a skip is a skip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.paths import ROOT

SKIPS = {
    "inside": "import pytest\ndef test_it(): pytest.skip('no server here')\n",
    "marked": "import pytest\n@pytest.mark.skip(reason='no server here')\ndef test_it(): pass\n",
    "whole module": "import pytest\npytest.skip('no server here', allow_module_level=True)\n",
    "fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('no server here')\ndef test_it(f): pass\n",
}


def _run(folder: Path, source: str, require_all: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_it.py").write_text(source)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(folder),
    ]
    environment = dict(os.environ) | {"REQUIRE_ALL": require_all, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*argv, str(folder)], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_is_a_failure_where_none_is_allowed(tmp_path: Path, source: str) -> None:
    refused = _run(tmp_path, source, "1")
    assert refused.returncode != 0
    assert "no server here" in refused.stdout
    assert "REQUIRE_ALL is set" in refused.stdout


def test_a_skip_is_a_skip_elsewhere(tmp_path: Path) -> None:
    assert "1 skipped" in _run(tmp_path, SKIPS["inside"], "").stdout


def test_an_expected_failure_is_none(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert 0\n"
    assert _run(tmp_path, source, "1").returncode == 0
