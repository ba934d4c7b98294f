"""docs/settings.md is what the model says."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from infra.settings.model import Settings
from infra.settings.problems import fields, group_of
from infra.settings.reference import rewritten
from tests.support.field_constraints import constraints

PAGE = Path(__file__).resolve().parents[3] / "docs" / "settings.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == rewritten(PAGE.read_text()), "run: python -m infra.settings.reference docs/settings.md"


def test_text_outside_the_marks_is_kept_and_everything_inside_is_new() -> None:
    page = PAGE.read_text()
    assert rewritten(page.replace("# Settings\n", "# Mine\n").replace("| Log level. |", "| Forged. |")) == page.replace(
        "# Settings\n", "# Mine\n"
    )


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="substring not found"):
        rewritten("# Settings\n")


@pytest.mark.parametrize("path", [path for path, field in fields(Settings) if group_of(field) is not field.annotation])
def test_every_setting_is_on_the_page(path: str) -> None:
    assert f"| `circlepay:{path}` | " in PAGE.read_text()


def test_every_limit_is_on_the_page() -> None:
    """JSON Schema drops a limit that stands behind a validator of its type."""
    signs = {Ge: "≥ {0.ge}", Gt: "> {0.gt}", Le: "≤ {0.le}", MinLen: "≥ {0.min_length}", MaxLen: "≤ {0.max_length}"}
    limits = [(path, limit) for path, field in fields(Settings) for limit in constraints(field) if type(limit) in signs]
    assert len(limits) > 60
    rows = dict(line.split("`", 2)[1:] for line in PAGE.read_text().splitlines() if line.startswith("| `circlepay:"))
    missing = [path for path, limit in limits if signs[type(limit)].format(limit) not in rows[f"circlepay:{path}"]]
    assert missing == []


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
