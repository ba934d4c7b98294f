"""Of the engine's events only the errors are told, each once, and ours with all their parts."""

from __future__ import annotations

import json

import pytest

from infra.errors import CirclePayError, SettingsError
from infra.operations.engine_errors import EngineError, own_error, told
from infra.settings import parse


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
    assert told("\n".join(lines)) == ["a: b: c"]


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
