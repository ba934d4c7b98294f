"""Where the engine is, and what its refusals tell."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.changes import Severity
from infra.errors import TargetError
from infra.targets.docker import engine

CONTEXT = "unix:///run/user/1000/docker.sock"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a docker context `rootless` that is not in use."""
    folder = tmp_path / ".docker" / "contexts" / "meta" / hashlib.sha256(b"rootless").hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": "rootless", "Endpoints": {"docker": {"Host": CONTEXT}}}))
    return tmp_path


def use(home: Path, context: str) -> None:
    (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": context}))


OTHER = {"DOCKER_HOST": "unix:///other.sock"}
NAMED = {"DOCKER_CONTEXT": "rootless"}


@pytest.mark.parametrize(
    ("setting", "environment", "context", "url"),
    [
        ("unix:///own.sock", OTHER, "rootless", "unix:///own.sock"),
        ("", OTHER, "rootless", "unix:///other.sock"),
        ("", {}, "rootless", CONTEXT),
        ("", {}, "default", engine.DEFAULT_ENGINE),
        ("", {}, "", engine.DEFAULT_ENGINE),
        ("", NAMED, "", CONTEXT),
    ],
    ids=["the setting", "the environment", "the context in use", "the default one", "no context", "a named context"],
)
def test_what_says_where_the_engine_is(
    home: Path, setting: str, environment: dict[str, str], context: str, url: str
) -> None:
    if context:
        use(home, context)
    assert engine.locate(setting, {"HOME": str(home), **environment}) == url


def test_the_contexts_are_where_docker_is_configured(home: Path) -> None:
    elsewhere = {"HOME": "/nonexistent", "DOCKER_CONFIG": str(home / ".docker"), **NAMED}
    assert engine.locate("", elsewhere) == CONTEXT


def test_a_context_that_is_not_there_is_an_error_that_names_it(home: Path) -> None:
    use(home, "gone")
    with pytest.raises(TargetError, match="docker context gone") as caught:
        engine.locate("", {"HOME": str(home)})
    assert "docker context ls" in caught.value.hint


def test_a_broken_configuration_of_docker_counts_as_none(home: Path) -> None:
    (home / ".docker" / "config.json").write_text("{")
    assert engine.locate("", {"HOME": str(home)}) == engine.DEFAULT_ENGINE


def test_no_engine_says_what_to_start(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/docker.sock"
    with pytest.raises(TargetError, match="there is no container engine") as caught, engine.connected(url, "look", "x"):
        pass
    assert caught.value.path == url
    assert "systemctl start docker" in caught.value.hint
    assert "circlepay:docker.host" in caught.value.hint


def test_a_socket_that_nobody_listens_at_any_more(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    with pytest.raises(TargetError, match="there is no container engine"):
        engine.refuse_unreachable(f"unix://{path}", "look")


def test_an_engine_elsewhere_is_not_knocked_at() -> None:
    engine.refuse_unreachable("ssh://nobody@127.0.0.1:1", "look")


@pytest.mark.parametrize(
    ("text", "cause", "hint"),
    [
        ("('Connection aborted.', PermissionError(13, 'Permission denied'))", "may not use", "the group that owns"),
        ("Connection refused", "no container engine", "start the engine"),
        ("Read timed out. (read timeout=60)", "Read timed out", "check whether it is running"),
    ],
)
def test_who_does_not_answer(text: str, cause: str, hint: str) -> None:
    error = engine.unreachable("look", "unix:///x.sock", requests.RequestException(text))
    assert cause in error.cause
    assert hint in error.hint


@pytest.mark.parametrize(
    ("explanation", "hint"),
    [
        ("write /var/lib/x: no space left on device", "docker system df"),
        ("Bind for 127.0.0.1:5432 failed: port is already allocated", "another port"),
        ("listen tcp4 127.0.0.1:5432: bind: address already in use", "another port"),
        ("No such image: postgres:17", "docker.pullPolicy"),
        ("something nobody has seen before", ""),
    ],
)
def test_what_the_engine_refuses_is_told_with_what_to_do(explanation: str, hint: str) -> None:
    error = engine.refused("start postgres", "127.0.0.1:5432", explanation)
    assert error.cause == explanation
    assert hint in error.hint


def test_ids_are_left_out_of_what_the_engine_says() -> None:
    said = f"driver failed on endpoint redis-circlepay ({'0af3' * 16}): Bind for 127.0.0.1:6379 failed: port is already allocated"
    error = engine.refused("start redis", "127.0.0.1:6379", said)
    assert error.cause.startswith("driver failed on endpoint redis-circlepay: Bind for")


class Told:
    """An engine's own description of itself, as the SDK hands it on."""

    def __init__(self, version: dict[str, Any], info: dict[str, Any] | None = None) -> None:
        self._version, self._info = version, info or {}

    def version(self, *, api_version: bool) -> dict[str, Any]:
        assert not api_version
        return self._version

    def info(self) -> dict[str, Any]:
        return self._info


DOCKER = {"ApiVersion": "1.41", "Components": [{"Name": "Engine"}]}
NEW = {**DOCKER, "ApiVersion": "1.48"}
PODMAN = {"ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}


@pytest.mark.parametrize(
    ("version", "cause"),
    [(PODMAN, "this is Podman"), ({**DOCKER, "ApiVersion": "1.40"}, "its API is 1.40, at least 1.41 is needed")],
)
def test_an_engine_that_would_not_do_is_refused(version: dict[str, Any], cause: str) -> None:
    told: Any = Told(version)
    with pytest.raises(TargetError, match=cause) as caught:
        engine.refuse_unsupported(told, "place redis", "unix:///x.sock")
    assert "Docker Engine 20.10" in caught.value.hint


@pytest.mark.parametrize("api", ["1.41", "1.54"])
def test_an_engine_that_does(api: str) -> None:
    told: Any = Told({**DOCKER, "ApiVersion": api})
    engine.refuse_unsupported(told, "place redis", "unix:///x.sock")


def test_limits_that_are_not_enforced_are_a_finding() -> None:
    without: Any = Told(NEW, {"CgroupDriver": "none"})
    (finding,) = engine.shortcomings(without)
    assert "does not enforce" in finding.problem
    having: Any = Told(NEW, {"CgroupDriver": "systemd"})
    assert engine.shortcomings(having) == []


def test_an_engine_whose_loopback_is_reached_from_other_hosts_is_a_note() -> None:
    before: Any = Told({**DOCKER, "ApiVersion": "1.47"}, {"SecurityOptions": ["name=seccomp,profile=default"]})
    (finding,) = engine.shortcomings(before)
    assert "published on loopback" in finding.problem
    assert "Docker Engine 28" in finding.remedy
    assert finding.severity is Severity.NOTE
    rootless: Any = Told(DOCKER, {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]})
    assert engine.shortcomings(rootless) == []
