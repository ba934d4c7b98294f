"""The file Pulumi runs as the provider: finds the project's Python by its own place, or says what to do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tools.paths import ROOT

NAME = "pulumi-resource-circlepay"
TELL = '#!/bin/sh\necho "$0 $GRPC_ENABLE_FORK_SUPPORT ${PULUMI_CONFIG-}${PULUMI_CONFIG_SECRET_KEYS-}$*"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a clone" / "infra" / "provider"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "infra" / "provider" / NAME, folder)
    return tmp_path / "a clone"


def _program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TELL)
    path.chmod(0o755)


def _run(clone: Path, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    program = clone / "infra" / "provider" / NAME
    return subprocess.run(
        [str(program), "127.0.0.1:1"],
        cwd=clone / "infra",
        env={"PATH": path, "PULUMI_CONFIG": '{"a": "secret"} ', "PULUMI_CONFIG_SECRET_KEYS": '["a"] '},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def test_it_runs_the_projects_python_with_no_environment_activated_and_without_the_stacks_secrets(clone: Path) -> None:
    python = clone / ".venv" / "bin" / "python"
    _program(python)
    assert _run(clone).stdout == f"{python} 0 -P -m infra.provider 127.0.0.1:1\n"


def test_without_an_environment_uv_makes_it(clone: Path) -> None:
    _program(clone / "bin" / "uv")
    told = _run(clone, f"{clone}/bin:/usr/bin:/bin").stdout
    assert told.endswith(f" 0 run --quiet --locked --project {clone} python -P -m infra.provider 127.0.0.1:1\n")


def test_without_either_it_names_the_commands(clone: Path) -> None:
    result = _run(clone)
    assert result.returncode == 1
    assert "`make up`" in result.stderr
    assert "`pulumi install`" in result.stderr
    assert result.stderr.count("\n") == 1
