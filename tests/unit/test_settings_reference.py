"""docs/settings.md is what the model says."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Settings
from infra.settings_problems import fields, group_of
from infra.settings_reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "run: python -m infra.settings_reference > docs/settings.md"


@pytest.mark.parametrize("path", [path for path, field in fields(Settings) if group_of(field) is not field.annotation])
def test_every_setting_is_on_the_page(path: str) -> None:
    assert f"| `circlepay:{path}` | " in PAGE.read_text()


def test_every_group_has_a_heading() -> None:
    for path, field in fields(Settings):
        if group_of(field) is field.annotation:
            assert f"\n## {path}\n" in PAGE.read_text()


def test_limits_are_examples_and_no_patterns() -> None:
    assert "| such as `512mb` or `1gb` |" in PAGE.read_text()
    assert "(?i:" not in PAGE.read_text()


def test_supplied_secrets_have_complete_commands() -> None:
    commands = [line for line in PAGE.read_text().splitlines() if line.startswith("pulumi config set")]
    assert all("--stack local" in command for command in commands)
    assert any("--plaintext" in command and "suppliedSecretsFile" in command for command in commands)
