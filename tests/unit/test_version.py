"""The version stands in two places; they agree."""

from __future__ import annotations

import tomllib
from pathlib import Path

from infra.version import VERSION


def test_version_is_the_project_s() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
