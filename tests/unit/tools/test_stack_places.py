"""Where a stack's data and env file are, in words."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tools import stack_places


def _deployment(env_file: Path) -> dict[str, Any]:
    kinds = [("ServerFolder", {"folder": "/srv/redis"}), ("ServerFolder", {"folder": "/srv/postgres"})]
    kinds += [("Server", {"folder": "/srv/other"}), ("GeneratedSecrets", {"envFile": str(env_file)})]
    return {"resources": [{"type": f"circlepay:index:{kind}", "outputs": outputs} for kind, outputs in kinds]}


def test_folders_and_the_env_file_where_there_is_one(tmp_path: Path) -> None:
    env_file = tmp_path / ".env.local"
    assert stack_places.places(_deployment(env_file)) == ["/srv/postgres", "/srv/redis"]
    env_file.touch()
    assert stack_places.places(_deployment(env_file)) == ["/srv/postgres", "/srv/redis", str(env_file)]


@pytest.mark.parametrize("latest", [{}, {"resources": None}, {"resources": [{"type": "pulumi:pulumi:Stack"}]}])
def test_a_stack_without_any_has_none(latest: dict[str, Any]) -> None:
    assert stack_places.places(latest) == []


@pytest.mark.parametrize(
    ("found", "words"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_in_words(found: list[str], words: str) -> None:
    assert stack_places.in_words(found) == words


def test_from_a_state_file_and_from_an_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    latest = _deployment(tmp_path / "none")
    state_file = tmp_path / "local.json"
    state_file.write_text(json.dumps({"checkpoint": {"latest": latest}}))
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"deployment": latest})))
    for source in (str(state_file), "-"):
        assert stack_places.main(source) == 0
        assert capsys.readouterr().out == "/srv/postgres and /srv/redis\n"
