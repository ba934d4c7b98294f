"""Of the engine's events only the errors are told, each once, and ours with all their parts."""

from __future__ import annotations

import json

import pytest

from infra.errors import CirclePayError, SettingsError
from infra.operations.engine_errors import EngineError, engine_is_silent, error_messages, merged, own_error, readable
from infra.settings.loading import parse


def event(severity: str, message: str) -> str:
    return json.dumps({"sequence": 1, "diagnosticEvent": {"severity": severity, "message": message}})


def test_only_errors_are_told_each_once() -> None:
    lines = [
        "Previewing update (local):",
        event("debug", "registering resource"),
        event("error", "a: b: c\n"),
        event("info#err", "x"),
        event("error", "error: a: b: c"),
        event("error", "preview failed"),
        event("error", "1 error occurred:"),
        '{"sequence": 2, "summaryEvent": {}}',
        '{"cut short',
    ]
    assert error_messages("\n".join(lines)) == ["a: b: c"]


IMAGE = "urn:pulumi:dev::circlepay::docker:index/remoteImage:RemoteImage::redis-image"
ABSENT = (
    "failed to create Docker client: Error pinging Docker server, please make sure that unix:///run/x.sock is reachable and "
    "has a  '_ping' endpoint. Error: Cannot connect to the Docker daemon at unix:///run/x.sock. Is the docker daemon running?"
)
DENIED = (
    "failed to create Docker client: Error pinging Docker server, please make sure that unix:///run/x.sock is reachable and "
    "has a  '_ping' endpoint. Error: permission denied while trying to connect to the Docker daemon socket at "
    'unix:///run/x.sock: Get "http://%2Frun%2Fx.sock/_ping": dial unix /run/x.sock: connect: permission denied'
)
PULL = (
    "Unable to read Docker image into resource: unable to pull image redis@sha256:12: error pulling image redis@sha256:12: "
    "Error response from daemon: no such host"
)
WRAPPED = [
    "  sdk-v2/provider2.go:571: sdk.helper_schema: {}: provider=docker@5.2.0\n",
    f"refreshing {IMAGE}: 1 error occurred:\n\t* {{}}\n\n\n",
    "1 error occurred:\n\t* {}\n\n\n",
]
"""As Pulumi 3.259 and pulumi-docker 5.2.0 print them."""


def of_plugin(words: str) -> dict[str, str]:
    return {"urn": IMAGE, "severity": "error", "message": words}


@pytest.mark.parametrize("wrapping", WRAPPED)
@pytest.mark.parametrize(
    ("words", "cause", "hint"),
    [
        (ABSENT, "there is no container engine", "systemctl start docker"),
        (DENIED, "this user may not use the container engine", "join the group"),
        (PULL, "no such host", "load it again"),
        ("write /data: no space left on device", "write /data: no space left on device", "free space"),
        ("Conflict. The name is in use", "Conflict. The name is in use", ""),
    ],
    ids=["absent", "denied", "pull", "full", "other"],
)
def test_words_of_pulumi_docker_become_a_clear_sentence(wrapping: str, words: str, cause: str, hint: str) -> None:
    error = own_error(readable(of_plugin(wrapping.format(words))))
    assert error is not None
    assert error.cause == cause
    assert hint in error.hint
    assert "sdk" not in error.message
    assert "provider=" not in error.message


@pytest.mark.parametrize(
    ("words", "place"), [(ABSENT, "unix:///run/x.sock"), (PULL, "redis@sha256:12"), ("no", "redis-image")]
)
def test_the_place_is_the_engine_the_image_or_the_resource(words: str, place: str) -> None:
    error = own_error(readable(of_plugin(words)))
    assert error is not None
    assert error.path == place


@pytest.mark.parametrize(("words", "silent"), [(ABSENT, True), (DENIED, True), (PULL, False)])
def test_only_an_engine_that_cannot_be_used_is_silent(words: str, silent: bool) -> None:
    assert engine_is_silent(of_plugin(words)) is silent
    assert not engine_is_silent({"message": words})


def test_one_cause_of_many_resources_is_told_once() -> None:
    lines = [json.dumps({"diagnosticEvent": of_plugin(wrapping.format(ABSENT))}) for wrapping in WRAPPED]
    assert len(error_messages("\n".join(lines))) == 1


def test_what_was_being_done_is_told_together() -> None:
    absent = [f"place {name}: unix:///x: there is no container engine\n  -> start it" for name in "abcde"]
    assert merged([*absent, "place f: unix:///x: another cause", "words", "words"]) == [
        "place a, place b, place c and 2 more: unix:///x: there is no container engine\n  -> start it",
        "place f: unix:///x: another cause",
        "words",
    ]


@pytest.mark.parametrize("raw", [{"verfy": 1}, {"verfy": 1, "redis": {"port": 0}}])
def test_error_of_the_settings_comes_back_whole(raw: dict[str, object]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse("local", raw)
    found = own_error(caught.value.message)
    assert isinstance(found, SettingsError)
    assert found.as_dict() == caught.value.as_dict()


def test_error_of_another_part_comes_back_whole() -> None:
    error = CirclePayError("start postgres", "127.0.0.1:5432", "the port is taken", "free it")
    found = own_error(error.message)
    assert isinstance(found, EngineError)
    assert found.as_dict() == {**error.as_dict(), "error": "EngineError"}


@pytest.mark.parametrize("text", ["no colon at all", "one: colon", ""])
def test_words_of_others_are_not_ours(text: str) -> None:
    assert own_error(text) is None
