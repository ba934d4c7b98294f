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


def _container_place(server: str, engine: str = "unix:///run/engine.sock") -> dict[str, Any]:
    outputs = {"dataVolume": f"{server}_data", "filesVolume": f"{server}_files", "engine": engine}
    return {"type": "circlepay:index:ContainerPlace", "outputs": outputs}


def _volume(name: str) -> dict[str, Any]:
    return {"type": "docker:index/volume:Volume", "outputs": {"name": name}}


def test_of_containers_the_volumes_of_data_that_were_made() -> None:
    made = [_volume(name) for name in ("redis_data", "redis_files", "postgres_files", "somebody_elses")]
    latest = {"resources": [_container_place("redis"), _container_place("postgres"), *made]}
    assert stack_places.places(latest) == ["volume redis_data"]
    assert stack_places.places({"resources": [*latest["resources"], _volume("postgres_data")]}) == [
        "volume postgres_data",
        "volume redis_data",
    ]


def test_engines_are_told_once_and_only_where_something_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    places = [_container_place("redis"), _container_place("postgres"), _container_place("third", "ssh://db1")]
    assert stack_places.engines({"resources": places}) == ["ssh://db1", "unix:///run/engine.sock"]
    assert stack_places.engines(_deployment(tmp_path)) == []
    state_file = tmp_path / "local.json"
    state_file.write_text(json.dumps({"checkpoint": {"latest": {"resources": places[1:]}}}))
    assert stack_places.main(["--engines", str(state_file)]) == 0
    assert capsys.readouterr().out == "ssh://db1\nunix:///run/engine.sock\n"


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
        assert stack_places.main([source]) == 0
        assert capsys.readouterr().out == "/srv/postgres and /srv/redis\n"
