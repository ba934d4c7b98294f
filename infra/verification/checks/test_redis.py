"""The declared settings of Redis are in force, and it stores values."""

from __future__ import annotations

import re
import secrets

import pytest

from infra.verification.checks.expectation import expect, expect_that
from infra.verification.checks.expected import REDIS_CLOSED, REDIS_DOCUMENTED
from infra.verification.checks.observations import Ask, in_place
from infra.verification.subject import Subject

MEMORY_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 2**10, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30}


def comparable(name: str, text: str) -> object:
    """A setting's value in canonical form: `256mb` equals 268435456."""
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
    expect(redis_settings["port"], subject.redis.placeholders["port"])


def test_bind(redis_settings: dict[str, str], subject: Subject) -> None:
    expect(redis_settings["bind"], subject.redis.placeholders["host"])


def test_data_folder(redis_settings: dict[str, str], subject: Subject) -> None:
    expect(redis_settings["dir"], subject.redis.placeholders["data"], "another server answers on this stack's port")


def test_log_file(redis_settings: dict[str, str], subject: Subject) -> None:
    observed = redis_settings["logfile"]
    # The log may go to the server's output where its target keeps and rotates that.
    kept = observed.startswith("/") or (subject.redis.target.keeps_output and not observed)
    expect_that(kept, "an absolute path", observed or "stdout")


def test_password_required(redis_settings: dict[str, str]) -> None:
    expect_that(bool(redis_settings["requirepass"]), "requirepass is set", "it is empty")


def test_protected_mode(redis_settings: dict[str, str]) -> None:
    expect(redis_settings["protected-mode"], "yes")


@pytest.mark.parametrize("name", REDIS_CLOSED)
def test_closed_to_the_application(redis_settings: dict[str, str], name: str) -> None:
    remedy = "take it out of redis.conf and restart: the application could load modules, or write files where it likes"
    expect(redis_settings.get(name, "no"), "no", remedy)


def test_role(redis_info: dict[str, str]) -> None:
    expect(redis_info["role"], "master", "it replicates another server: REPLICAOF NO ONE, then find out who changed it")


def test_saves_to_disk(redis_info: dict[str, str]) -> None:
    remedy = "the last snapshot failed: check the log, and the disk of the data folder"
    expect((redis_info["rdb_last_bgsave_status"], redis_info["loading"]), ("ok", "0"), remedy)


def test_remembers(redis: Ask) -> None:
    """A value can be stored, read and given an expiry; it is deleted, or expires within ten seconds."""
    key, value = f"circlepay:verification:{secrets.token_hex(12)}", secrets.token_hex(8)
    try:
        expect(redis("SET", key, value, "EX", "10"), "OK")
        expect(redis("GET", key), value)
        expect_that(0 < int(redis("TTL", key)) <= 10, "the key expires within 10 s", "it does not")
    finally:
        redis("DEL", key)
