"""Redis has the declared settings in force, and works."""

from __future__ import annotations

import re
import secrets

import pytest

from infra.verification import Subject
from tests.acceptance.expectation import expect, expect_that
from tests.acceptance.expected import REDIS_DOCUMENTED
from tests.acceptance.observations import in_place
from tests.acceptance.redis_wire import Conversation

MEMORY_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 2**10, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30}


def comparable(name: str, text: str) -> object:
    """A value of a setting in a form in which `256mb` equals 268435456."""
    memory = re.fullmatch(r"(\d+)([a-z]*)", text.strip().lower())
    if name == "maxmemory" and memory and memory[2] in MEMORY_UNITS:
        return int(memory[1]) * MEMORY_UNITS[memory[2]]
    return " ".join(text.replace('"', "").split())


@pytest.mark.parametrize("name", REDIS_DOCUMENTED)
def test_documented(redis_settings: dict[str, str], subject: Subject, name: str) -> None:
    declared = subject.redis.parameters.get(name, REDIS_DOCUMENTED[name])
    expect(comparable(name, redis_settings[name]), comparable(name, declared))


def test_declared(redis_settings: dict[str, str], subject: Subject, redis_parameter: str) -> None:
    declared = in_place(subject.redis.parameters[redis_parameter], subject.redis)
    expect(comparable(redis_parameter, redis_settings[redis_parameter]), comparable(redis_parameter, declared))


def test_port(redis_settings: dict[str, str], subject: Subject) -> None:
    expect(redis_settings["port"], subject.redis.all_places["port"])


def test_bind(redis_settings: dict[str, str], subject: Subject) -> None:
    expect(redis_settings["bind"], subject.redis.all_places["host"])


def test_data_folder(redis_settings: dict[str, str], subject: Subject) -> None:
    expect(redis_settings["dir"], subject.redis.all_places["data"], "another server answers on this stack's port")


def test_log_file(redis_settings: dict[str, str], subject: Subject) -> None:
    observed = redis_settings["logfile"]
    # The engine keeps and rotates what a container writes to its output.
    kept = observed.startswith("/") or (bool(subject.redis.container) and not observed)
    expect_that(kept, "an absolute path", observed or "stdout")


def test_password_required(redis_settings: dict[str, str]) -> None:
    expect_that(bool(redis_settings["requirepass"]), "requirepass is set", "it is empty")


def test_protected_mode(redis_settings: dict[str, str]) -> None:
    expect(redis_settings["protected-mode"], "yes")


def test_role(redis_info: dict[str, str]) -> None:
    expect(
        redis_info["role"], "master", "this server follows another one: REPLICAOF NO ONE, then find out who did that"
    )


def test_saves_to_disk(redis_info: dict[str, str]) -> None:
    remedy = "the last snapshot failed: look at the log and at the disk of its data folder"
    expect((redis_info["rdb_last_bgsave_status"], redis_info["loading"]), ("ok", "0"), remedy)


def test_remembers(redis: Conversation) -> None:
    """A value is kept, expires and goes; ten seconds are the most it can stay."""
    key, value = f"circlepay:verification:{secrets.token_hex(12)}", secrets.token_hex(8)
    try:
        expect(redis.ask("SET", key, value, "EX", "10"), "OK")
        expect(redis.ask("GET", key), value)
        expect_that(0 < redis.ask("TTL", key) <= 10, "expires within 10 s", "it does not")
    finally:
        redis.ask("DEL", key)
