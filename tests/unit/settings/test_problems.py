"""What is wrong is said all at once, with the nearest right name, and without any value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic.fields import FieldInfo

from infra.settings.loading import parse
from infra.settings.model import Settings
from infra.settings.problems import fields
from tests.support.field_constraints import constraints
from tests.unit.settings.conftest import refused


def test_everything_wrong_is_listed_at_once() -> None:
    raw = {
        "postgres": '{"port": "70000", "applicationRole": "postgres", "superuserPassword": "short"}',
        "redis": {"save": [{"seconds": 0, "changes": 1}], "maxmemory": "1kb"},
        "verfy": "true",
    }
    message = refused("local", raw).message
    assert "6 settings are wrong" in message
    for setting in (
        "postgres.port",
        "postgres.applicationRole",
        "postgres.superuserPassword",
        "redis.save[0].seconds",
        "redis.maxmemory",
        "verfy",
    ):
        assert f"circlepay:{setting}: " in message


@pytest.mark.parametrize(
    ("raw", "suggested"),
    [
        ({"targt": "docker"}, "circlepay:target?"),
        ({"redis": {"maxmemry": "1gb"}}, "circlepay:redis.maxmemory?"),
        ({"postgres": {"max_connections": 10}}, "circlepay:postgres.maxConnections?"),
        ({"debug": "true"}, "circlepay:application.debug?"),
        ({"port": "1"}, "circlepay:postgres.port or circlepay:redis.port?"),
        ({"postgres.port": "5433"}, "pulumi config set --path"),
        ({"redis": {"save": [{"seconds": 1, "changes": 1, "change": 2}]}}, "circlepay:redis.save[0].changes?"),
        ({"zzzzzzzz": "1"}, "here are: target, envFile"),
    ],
)
def test_unknown_name_suggests_the_nearest(raw: dict[str, Any], suggested: str) -> None:
    assert suggested in refused("local", raw).message


def test_values_stay_out_of_messages() -> None:
    raw = {"redis": {"password": "hunter2"}, "hunter2value": "hunter2secret", "postgres": {"locale": "hunter2 hunter2"}}
    message = refused("local", raw).message
    assert "hunter2secret" not in message
    assert "hunter2 " not in message
    assert "hunter2\n" not in message


@pytest.mark.parametrize(
    ("raw", "command"),
    [
        ({"redis": {"port": 0}}, "pulumi config set --stack local --path 'circlepay:redis.port' VALUE"),
        ({"redis": {"maxmemroy": "5mb"}}, "pulumi config rm --stack local --path 'circlepay:redis.maxmemroy'"),
        ({"verfy": "true"}, "pulumi config rm --stack local 'circlepay:verfy'"),
        ({"redis.port": "1"}, "pulumi config rm --stack local 'circlepay:redis.port'"),
        (
            {"application": {"circleEntitySecret": "x"}},
            "pulumi config set --secret --stack local --path 'circlepay:application.circleEntitySecret'",
        ),
        (
            {"postgres": {"superuserPassword": "your_secure_password"}},
            "pulumi config set --secret --stack local --path 'circlepay:postgres.superuserPassword'",
        ),
    ],
)
def test_hint_is_the_command_that_settles_it(raw: dict[str, Any], command: str) -> None:
    assert refused("local", raw).hint == f"correct Pulumi.local.yaml, by hand or by: {command}"


def test_hint_of_several_problems_has_a_command_for_each() -> None:
    hint = refused("local", {"verfy": "true", "application": {"secretKey": "x"}, "redis": {"port": 0}}).hint
    assert [line.split()[:4] for line in hint.splitlines()[1:]] == [
        ["pulumi", "config", "set", "--stack"],
        ["pulumi", "config", "set", "--secret"],
        ["pulumi", "config", "rm", "--stack"],
    ]


def test_wrong_text_is_told_by_examples_and_not_by_a_pattern() -> None:
    cause = refused("local", {"redis": {"maxmemory": "much"}}).cause
    assert cause.startswith("must be a value such as `512mb` or `1gb` (Memory limit")


def test_every_setting_with_a_pattern_has_examples_that_are_right() -> None:
    limited = {path: field for path, field in fields(Settings) if any_pattern(field)}
    assert len(limited) >= 12
    for path, field in limited.items():
        assert field.examples, path
        group, _, name = path.rpartition(".")
        for example in field.examples:
            parse("local", _with(group, name, example))


def _with(group: str, name: str, value: str) -> dict[str, Any]:
    """One setting's value where it stands; a member of a list needs the rest of its entry."""
    if group == "docker.registries[]":
        return {"docker": {"registries": [{"username": "deploy", "password": "token", name: value}]}}
    return {group: {name: value}} if group else {name: value}


def any_pattern(field: FieldInfo) -> bool:
    return any(getattr(limit, "pattern", None) for limit in constraints(field))
