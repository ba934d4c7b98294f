"""The target in a stack's file, before Pulumi is told to make the stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import SettingsError
from infra.settings.check import check

ROOT = Path(__file__).resolve().parents[3]


def _file(folder: Path, text: str, stack: str = "local") -> Path:
    path = folder / f"Pulumi.{stack}.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "config:\n",
        "config:\n  circlepay:redis:\n    port: 6400\n  circlepay:verify: true\n  aws:region: x\n",
        "config:\n  circlepay:target: docker\n",
        "config:\n  circlepay:target: [hosts]\n",
        # What is missing is set by `pulumi config set`, which needs the stack.
        "config:\n  circlepay:application:\n    environment: production\n",
    ],
)
def test_anything_else_passes(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        _file(tmp_path, text)
    check("local", tmp_path)


def test_production_ends_in_one_sentence_and_its_file_is_left_alone(tmp_path: Path) -> None:
    committed = (ROOT / "Pulumi.prod.yaml").read_text()
    path = _file(tmp_path, committed, "prod")
    with pytest.raises(SettingsError, match="is not built yet") as refused:
        check("prod", tmp_path)
    assert refused.value.path == "circlepay:target"
    assert path.read_text() == committed


def test_the_committed_development_stack_can_be_made() -> None:
    check("dev", ROOT)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("config: [1, 2\n", "Pulumi.local.yaml:2:1"),
        ("config: text\n", "Pulumi.local.yaml"),
        ("- a list\n", "Pulumi.local.yaml"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str, path: str) -> None:
    _file(tmp_path, text)
    with pytest.raises(SettingsError) as refused:
        check("local", tmp_path)
    assert refused.value.path == path


def test_a_broken_file_is_not_quoted(tmp_path: Path) -> None:
    _file(tmp_path, "config:\n  circlepay:application:\n    secretKey: 'hidden-value\n")
    with pytest.raises(SettingsError) as refused:
        check("local", tmp_path)
    assert "hidden-value" not in str(refused.value)
