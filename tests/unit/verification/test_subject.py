"""The subject survives the ways it travels, and keeps its secrets to itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from infra.verification.subject import PostgresSubject, RedisSubject, Subject
from tests.support.locations import container_location


def subject() -> Subject:
    limits = {"memory": 805306368, "nanoCpus": 1500000000, "pids": 0}
    redis = replace(container_location("redis", 6379), limits=limits)
    postgres = replace(redis, server="postgres", port=5432)
    names = ("superuser", "database", "application_role", "owner", "encoding", "locale", "locale_provider")
    texts: dict[str, Any] = {
        **dict.fromkeys(names, "text"),
        "superuser_password": "first-secret",
        "application_password": "second-secret",
    }
    parameters = {"timeout": "0"}
    return Subject(
        PostgresSubject(location=postgres, parameters=parameters, **texts),
        RedisSubject(location=redis, parameters=parameters, password="third-secret"),
    )


def test_it_survives_json() -> None:
    declared = subject()
    assert Subject.from_json(json.loads(json.dumps(declared.to_json()))) == declared


def test_it_survives_an_engine_without_whole_numbers() -> None:
    declared = subject()
    value = json.loads(json.dumps(declared.to_json()), parse_int=float)
    read = Subject.from_json(value)
    assert read == declared
    locations = [server.location for server in read.servers.values()]
    assert {type(number) for each in locations for number in (each.port, *each.limits.values())} == {int}


def test_it_hides_its_secrets() -> None:
    secrets = subject().secrets().values()
    assert set(secrets) == {"first-secret", "second-secret", "third-secret"}
    assert [secret for secret in secrets if secret in repr(subject())] == []


def test_who_has_a_machine_of_its_own() -> None:
    assert subject().isolated == ["postgres", "redis"]
    assert list(subject().check_folders.values()) == [["postgres", "redis"]]


def test_a_target_that_does_not_exist_is_no_subject() -> None:
    value = subject().to_json()
    value["redis"]["location"]["target"] = "submarine"
    with pytest.raises(KeyError, match="submarine"):
        Subject.from_json(value)
