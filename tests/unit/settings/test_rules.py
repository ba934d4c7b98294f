"""Every rule between settings is broken at least once, and every warning is provoked."""

from __future__ import annotations

from typing import Any

import pytest

from infra.settings.loading import parse
from infra.settings.rules import RULES, WARNINGS, warnings
from tests.unit.settings.conftest import CIRCLE, LOGIN, STRONG, refused


def on_docker(**groups: Any) -> dict[str, Any]:
    return {"target": "docker", **groups}


RULE_CASES: dict[str, list[tuple[str, dict[str, Any], str, str]]] = {
    "container_limits_leave_room": [
        ("dev", on_docker(docker={"postgresMemory": 255}), "docker.postgresMemory", "2 times circlepay:postgres"),
        ("dev", on_docker(docker={"redisMemory": 511}), "docker.redisMemory", "2 times circlepay:redis.maxmemory"),
        ("dev", on_docker(redis={"maxmemory": "513mb"}), "docker.redisMemory", "2 times circlepay:redis.maxmemory"),
        ("dev", on_docker(docker={"postgresPids": 149}), "docker.postgresPids", "maxConnections + 50"),
        ("dev", on_docker(docker={"redisPids": 31}), "docker.redisPids", "at least 32"),
    ],
    "containers_log_to_the_engine": [
        ("dev", on_docker(redis={"logfile": "/var/log/redis/redis-server.log"}), "redis.logfile", "must be left out"),
    ],
    "registries_differ": [("dev", {"docker": {"registries": [LOGIN, LOGIN]}}, "docker.registries", "twice")],
    "ssh_config_is_for_ssh_engines": [
        (
            "dev",
            {"docker": {"host": "unix:///d.sock", "sshConfig": "/s"}},
            "docker.sshConfig",
            "a socket of this machine",
        ),
    ],
    "publish_address_is_an_ip_address": [
        ("dev", {"docker": {"publishAddress": "300.0.0.1"}}, "docker.publishAddress", "must be an IP address"),
        ("dev", {"docker": {"publishAddress": "::1::"}}, "docker.publishAddress", "must be an IP address"),
    ],
    "names_are_not_reserved": [
        ("local", {"postgres": {"database": "template1"}}, "postgres.database", "every server has"),
        ("local", {"postgres": {"database": "postgres"}}, "postgres.database", "every server has"),
        ("local", {"postgres": {"tablespace": "pg_global"}}, "postgres.tablespace", "pg_global"),
        ("local", {"postgres": {"applicationRole": "pg_monitor"}}, "postgres.applicationRole", "not pg_"),
        ("local", {"postgres": {"superuser": "public"}}, "postgres.superuser", "not public"),
        ("local", {"postgres": {"ownerRole": "none"}}, "postgres.ownerRole", "not none"),
    ],
    "application_is_no_superuser": [
        ("local", {"postgres": {"applicationRole": "postgres"}}, "postgres.applicationRole", "not be the superuser"),
        ("dev", {"postgres": {"superuser": "circlepay_user"}}, "postgres.applicationRole", "not be the superuser"),
    ],
    "owner_is_a_role_of_its_own": [
        (
            "local",
            {"postgres": {"ownerRole": "postgres"}},
            "postgres.ownerRole",
            "must not be circlepay:postgres.superuser",
        ),
        ("prod", {"postgres": {"applicationRole": "circlepay_owner"}}, "postgres.ownerRole", "applicationRole"),
    ],
    "restrictions_go_together": [
        ("local", {"postgres": {"restrictApplication": True}}, "postgres.restrictApplication", "restrictPublic"),
        ("prod", {"postgres": {"restrictPublic": False}}, "postgres.restrictApplication", "restrictPublic"),
    ],
    "extra_keys_are_free": [
        ("local", {"application": {"extra": {"DEBUG": "x"}}}, "application.extra.DEBUG", "has anyway"),
        ("local", {"application": {"extra": {"PATH": "x"}}}, "application.extra.PATH", "would change the shell"),
    ],
    "ports_differ": [("local", {"postgres": {"port": 7000}, "redis": {"port": "7000"}}, "redis.port", "must differ")],
    "locale_fits_its_provider": [
        ("local", {"postgres": {"localeProvider": "builtin", "locale": "ko_KR.UTF-8"}}, "postgres.locale", "to libc"),
    ],
    "limits_fit_together": [
        ("local", {"postgres": {"connectionLimit": 0}}, "postgres.connectionLimit", "must not be 0"),
        ("local", {"postgres": {"connectionLimit": 101}}, "postgres.connectionLimit", "maxConnections"),
        ("local", {"postgres": {"statementTimeout": 10}}, "postgres.lockTimeout", "must be shorter"),
    ],
    "maxmemory_is_usable": [
        ("local", {"redis": {"maxmemory": "4095kb"}}, "redis.maxmemory", "at least 4mb"),
        ("local", {"redis": {"maxmemory": "99999999999gb"}}, "redis.maxmemory", "below 8 EiB"),
    ],
    "save_points_differ": [
        ("local", {"redis": {"save": [{"seconds": 9, "changes": n} for n in (1, 2)]}}, "redis.save", "same seconds"),
    ],
    "paths_are_of_files": [
        ("local", {"envFile": "../.env.local"}, "envFile", "absolute path"),
        ("local", {"envFile": "/etc/"}, "envFile", "of a file"),
        ("local", {"envFile": "."}, "envFile", "of a file"),
        ("local", {"application": {"suppliedSecretsFile": "../s"}}, "application.suppliedSecretsFile", "absolute path"),
        (
            "local",
            {"envFile": "x.env", "application": {"suppliedSecretsFile": "x.env"}},
            "application.suppliedSecretsFile",
            "envFile",
        ),
        ("local", {"processes": {"dataDirectory": "/."}}, "processes.dataDirectory", "of its own"),
        ("local", {"processes": {"dataDirectory": "/a/../.."}}, "processes.dataDirectory", "of its own"),
    ],
    "circle_values_have_one_source": [
        (
            "local",
            {"application": {"suppliedSecretsFile": "/s", **CIRCLE}},
            "application.circleSandboxApiKey",
            "left out",
        ),
    ],
    "secrets_are_no_examples": [
        (
            "local",
            {"postgres": {"applicationPassword": "your_secure_password"}},
            "postgres.applicationPassword",
            "example",
        ),
        ("local", {"application": {"secretKey": "Your_Super_Secret_Key_Here"}}, "application.secretKey", "example"),
        (
            "local",
            {"application": {"circleSandboxApiKey": "your_circle_sandbox_api_key"}},
            "application.circleSandboxApiKey",
            "example",
        ),
    ],
    "production_runs_as_production": [
        ("prod", {"application": {"debug": True}}, "application.debug", "must be false"),
        ("eu", {"application": {"debug": True, "environment": "production"}}, "application.debug", "must be false"),
        ("prod", {"application": {"environment": "development"}}, "application.environment", "must be production"),
        ("prod", {"verify": "false"}, "verify", "must be true"),
    ],
    "production_has_its_circle_values": [
        ("prod", {}, "application.circleSandboxApiKey", "must be supplied"),
        ("prod", {}, "application.circleEntitySecret", "must be supplied"),
        ("prod", {"application": {"circleEntitySecret": ""}}, "application.circleEntitySecret", "must be supplied"),
    ],
    "production_secrets_are_strong": [
        ("prod", {"redis": {"password": "a" * 20}}, "redis.password", "different characters"),
        ("prod", {"redis": {"password": "abcdefgh" * 3}}, "redis.password", "repeats itself"),
        ("prod", {"redis": {"password": "Password1234!Password!"}}, "redis.password", "common words"),
        ("prod", {"postgres": {"superuserPassword": "qwertyuiopasdfghjkl"}}, "postgres.superuserPassword", "keyboard"),
        ("prod", {"application": {"circleEntitySecret": "0" * 64}}, "application.circleEntitySecret", "weak"),
        ("prod", {"application": {"jwtSecretKey": STRONG[:31]}}, "application.jwtSecretKey", "at least 32"),
    ],
    "production_secrets_differ": [
        (
            "prod",
            {"application": {**CIRCLE, "secretKey": STRONG, "jwtSecretKey": STRONG}},
            "application.jwtSecretKey",
            "circlepay:application.secretKey",
        ),
    ],
}


def test_every_rule_has_a_wrong_case() -> None:
    assert {rule.__name__ for rule in RULES} == set(RULE_CASES)


@pytest.mark.parametrize(
    ("rule", "stack", "raw", "setting", "right"),
    [(rule, *case) for rule, cases in RULE_CASES.items() for case in cases],
)
def test_rule_between_settings(rule: str, stack: str, raw: dict[str, Any], setting: str, right: str) -> None:
    error = refused(stack, raw)
    lines = [line for line in f"{error.path}: {error.cause}".splitlines() if f"circlepay:{setting}:" in line]
    assert any(right in line for line in lines), error.message


def test_strong_secrets_are_welcome_in_production() -> None:
    raw = {"application": {**CIRCLE, "secretKey": STRONG}, "redis": {"password": STRONG[::-1]}}
    assert parse("prod", raw).redis.password is not None


def test_production_may_name_a_file_instead_of_values() -> None:
    settings = parse("prod", {"application": {"suppliedSecretsFile": "/run/secrets/circle.env"}})
    assert settings.application.circle_entity_secret is None


WARNING_CASES: dict[str, tuple[dict[str, Any], str]] = {
    "circle_values_are_missing": ({}, "circlepay:application.circleEntitySecret is empty"),
    "secrets_are_shared": (
        {"redis": {"password": STRONG}, "application": {"secretKey": STRONG}},
        "circlepay:application.secretKey is the same secret as circlepay:redis.password",
    ),
    "verification_is_off": ({"verify": "false"}, "circlepay:verify is false"),
    "env_file_may_be_committed": ({"envFile": "settings.env"}, "circlepay:envFile is not ignored by git"),
    "production_logs_at_debug": (
        {"application": {**CIRCLE, "environment": "production", "logLevel": "DEBUG"}},
        "circlepay:application.logLevel is DEBUG",
    ),
    "redis_snapshots_have_little_room": (
        on_docker(docker={"redisMemory": 1023}),
        "circlepay:docker.redisMemory is less than 4 times circlepay:redis.maxmemory",
    ),
    "redis_has_no_snapshots": ({"redis": {"save": []}}, "circlepay:redis.save is empty"),
    "published_beyond_loopback": (
        on_docker(docker={"publishAddress": "192.0.2.10"}),
        "circlepay:docker.publishAddress publishes both servers beyond this machine",
    ),
}


def test_every_warning_has_a_case() -> None:
    assert {warning.__name__ for warning in WARNINGS} == set(WARNING_CASES)


@pytest.mark.parametrize(("raw", "said"), WARNING_CASES.values(), ids=WARNING_CASES)
def test_what_is_allowed_but_said(raw: dict[str, Any], said: str) -> None:
    texts = warnings(parse("local", raw))
    assert any(text.startswith(said) for text in texts)
    assert STRONG not in str(texts)


def test_what_concerns_containers_is_not_asked_of_processes() -> None:
    raw = {"docker": {"postgresMemory": 1, "redisPids": 1}, "redis": {"logfile": "/var/log/redis/redis-server.log"}}
    assert parse("local", raw).docker.redis_pids == 1
    assert not any("docker." in text for text in warnings(parse("local", {"docker": {"publishAddress": "192.0.2.10"}})))


@pytest.mark.parametrize("address", ["", "127.0.0.1", "::1"])
def test_loopback_is_published_without_a_word(address: str) -> None:
    raw = on_docker(docker={"publishAddress": address}, application=CIRCLE)
    assert warnings(parse("dev", raw)) == []


def test_nothing_to_say() -> None:
    assert warnings(parse("local", {"application": CIRCLE})) == []
