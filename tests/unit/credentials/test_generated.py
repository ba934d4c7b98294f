"""Generated secrets: different each time, long enough, and safe wherever they are written."""

from __future__ import annotations

import shlex
from urllib.parse import quote

import pytest

from infra.credentials.generated import LENGTHS, NAMES, generate, validate
from infra.errors import SettingsError


def test_one_for_each_name_with_its_length() -> None:
    values = generate()
    assert {name: len(value) for name, value in values.items()} == LENGTHS
    assert tuple(values) == NAMES
    assert LENGTHS["secret_key"] == 64
    assert min(LENGTHS.values()) >= 32


def test_only_the_names_asked_for() -> None:
    assert set(generate(["redis_password"])) == {"redis_password"}


def test_no_two_are_the_same() -> None:
    values = [value for _ in range(200) for value in generate().values()]
    assert len(set(values)) == len(values)


def test_no_quoting_ever_touches_them() -> None:
    for _ in range(500):
        for value in generate().values():
            assert quote(value, safe="") == value
            assert shlex.quote(value) == value
            assert not value.startswith("-")


def test_unknown_name() -> None:
    with pytest.raises(SettingsError, match="circle_entity_secret: is not a secret of this package"):
        generate(["circle_entity_secret"])


def test_generated_values_are_valid() -> None:
    assert validate(generate()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"redis_password": "short"}, "redis_password: has fewer than 32 characters"),
        ({"secret_key": "k" * 63}, "secret_key: has fewer than 64 characters"),
        ({"secret_key": "k" * 63 + "'"}, "secret_key: holds characters outside"),
        ({"other": "x"}, "other: is not a generated secret"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(change: dict[str, str], problem: str) -> None:
    problems = validate({**generate(), **change})
    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert not any(value in problems[0] for value in change.values() if len(value) > 3)


def test_missing() -> None:
    values = generate()
    del values["jwt_secret_key"]
    assert validate(values) == ["jwt_secret_key: is missing"]
