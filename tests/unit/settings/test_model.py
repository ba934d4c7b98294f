"""Settings: every field is described, every limit of every field is broken once, every rule between fields too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pulumi
import pytest
import yaml
from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import AfterValidator, BaseModel, Field, SecretStr
from pydantic.fields import FieldInfo

from infra.errors import SettingsError
from infra.settings.loading import load, parse
from infra.settings.model import Environment, Settings, Target, unsupported_target_message
from infra.settings.problems import fields, group_of
from tests.support.field_constraints import constraints
from tests.unit.settings.conftest import CIRCLE, LOGIN, STRONG, refused

ROOT = Path(__file__).resolve().parents[3]

TOO_LARGE = 2147483648
IDENTIFIERS = ("superuser", "database", "tablespace", "applicationRole", "ownerRole")
MEMORY = ("postgresMemory", "redisMemory")
CPUS = ("postgresCpus", "redisCpus")
PIDS = ("postgresPids", "redisPids")
SECRETS = (
    "postgres.superuserPassword",
    "postgres.applicationPassword",
    "redis.password",
    "application.secretKey",
    "application.jwtSecretKey",
)

WRONG: dict[tuple[str, str], tuple[Any, str]] = {
    ("target", "choice"): ("kubernetes", "must be one of 'processes', 'docker', 'hosts' or 'external'"),
    ("envFile", "type"): (5, "must be text"),
    ("envFile", "pattern"): (".env\nlocal", "must be a value such as"),
    ("verify", "type"): ("yes", "must be true or false"),
    ("processes", "type"): ("wheel", "must be a group"),
    ("processes.binaries", "type"): (True, "must be text"),
    ("processes.binaries", "pattern"): ("postgres/bin", "the absolute path"),
    ("processes.redisBinaries", "type"): (7, "must be text"),
    ("processes.redisBinaries", "pattern"): ("bin", "the absolute path"),
    ("processes.dataDirectory", "type"): (["/data"], "must be text"),
    ("processes.dataDirectory", "pattern"): ("data", "Absolute path"),
    ("docker", "type"): ("unix:///var/run/docker.sock", "must be a group"),
    ("docker.host", "type"): (2375, "must be text"),
    ("docker.host", "pattern"): ("/var/run/docker.sock", "unix:///var/run/docker.sock"),
    ("docker.sshConfig", "type"): (True, "must be text"),
    ("docker.sshConfig", "pattern"): ("ssh_config", "Absolute path"),
    ("docker.suffix", "type"): (2, "must be text"),
    ("docker.suffix", "pattern"): ("staging", "such as `_staging`"),
    ("docker.publishAddress", "type"): (False, "must be text"),
    ("docker.publishAddress", "pattern"): ("db.example.com", "such as `192.0.2.10`"),
    **{(f"docker.{name}Image", "type"): (17, "must be text") for name in ("postgres", "redis")},
    **{(f"docker.{name}Image", "pattern"): ("-image", "must be a value such as") for name in ("postgres", "redis")},
    ("docker.imagesAsOf", "type"): (20261125, "must be text; quote it"),
    ("docker.imagesAsOf", "pattern"): ("next week", "such as `2026-11-25`"),
    ("docker.platform", "type"): (64, "must be text"),
    ("docker.platform", "pattern"): ("amd64", "linux/amd64"),
    ("docker.pullPolicy", "choice"): ("IfNotPresent", "must be one of 'missing', 'always' or 'never'"),
    ("docker.registries", "type"): ("registry.example.com", "must be a list"),
    ("docker.registries", "longest"): ([{**LOGIN, "address": f"r{n}.example.com"} for n in range(17)], "16 entries"),
    ("docker.registries[].address", "type"): ([{**LOGIN, "address": 5000}], "must be text"),
    ("docker.registries[].address", "pattern"): ([{**LOGIN, "address": "https://r"}], "must be a value such as"),
    ("docker.registries[].address", "shortest"): ([{**LOGIN, "address": ""}], "at least 1 characters"),
    ("docker.registries[].address", "longest"): ([{**LOGIN, "address": "r" * 256}], "at most 255 characters"),
    ("docker.registries[].address", "required"): ([{"username": "deploy", "password": "token"}], "is missing"),
    ("docker.registries[].username", "type"): ([{**LOGIN, "username": 1}], "must be text"),
    ("docker.registries[].username", "shortest"): ([{**LOGIN, "username": ""}], "at least 1 characters"),
    ("docker.registries[].username", "longest"): ([{**LOGIN, "username": "u" * 256}], "at most 255 characters"),
    ("docker.registries[].username", "required"): ([{"address": "r", "password": "token"}], "is missing"),
    ("docker.registries[].password", "type"): ([{**LOGIN, "password": 1234}], "must be text"),
    ("docker.registries[].password", "shortest"): ([{**LOGIN, "password": ""}], "at least 1 characters"),
    ("docker.registries[].password", "longest"): ([{**LOGIN, "password": "p" * 4097}], "at most 4096 characters"),
    ("docker.registries[].password", "_printable"): ([{**LOGIN, "password": "token\n"}], "must be printable ASCII"),
    ("docker.registries[].password", "required"): ([{"address": "r", "username": "deploy"}], "is missing"),
    **{(f"docker.{name}", "type"): ("1g", "must be an integer") for name in MEMORY},
    **{(f"docker.{name}", "least"): (-1, "must be at least 0") for name in MEMORY},
    **{(f"docker.{name}", "most"): (16777217, "must be at most 16777216") for name in MEMORY},
    **{(f"docker.{name}", "type"): ("half", "must be a number") for name in CPUS},
    **{(f"docker.{name}", "least"): (-0.5, "must be at least 0") for name in CPUS},
    **{(f"docker.{name}", "most"): (1025, "must be at most 1024") for name in CPUS},
    **{(f"docker.{name}", "type"): (True, "must be an integer") for name in PIDS},
    **{(f"docker.{name}", "least"): (-1, "must be at least 0") for name in PIDS},
    **{(f"docker.{name}", "most"): (4194305, "must be at most 4194304") for name in PIDS},
    ("docker.logSize", "type"): ("10m", "must be an integer"),
    ("docker.logSize", "least"): (0, "must be at least 1"),
    ("docker.logSize", "most"): (10241, "must be at most 10240"),
    ("docker.logFiles", "type"): ([], "must be an integer"),
    ("docker.logFiles", "least"): (0, "must be at least 1"),
    ("docker.logFiles", "most"): (1001, "must be at most 1000"),
    ("postgres", "type"): ([], "must be a group"),
    ("postgres.port", "type"): ("five", "must be an integer"),
    ("postgres.port", "least"): (0, "must be at least 1"),
    ("postgres.port", "most"): (65536, "must be at most 65535"),
    ("postgres.listenAddress", "choice"): ("192.0.2.1", "must be one of '127.0.0.1', '::1' or 'localhost'"),
    **{(f"postgres.{name}", "type"): (7, "must be text") for name in IDENTIFIERS},
    **{(f"postgres.{name}", "pattern"): ("Circle-Pay", "lower-case letters") for name in IDENTIFIERS},
    **{(name, "type"): (1234567890123456, "must be text; quote it") for name in SECRETS},
    **{(name, "shortest"): ("fifteen-letters", "must have at least 16 characters") for name in SECRETS},
    **{(name, "longest"): (STRONG * 17, "must have at most 512 characters") for name in SECRETS},
    **{(name, "_printable"): (f"{STRONG}\n", "must be printable ASCII") for name in SECRETS},
    ("postgres.encoding", "choice"): ("LATIN1", "must be one of 'UTF8'"),
    ("postgres.localeProvider", "choice"): ("posix", "must be one of 'builtin', 'libc' or 'icu'"),
    ("postgres.locale", "type"): (1, "must be text"),
    ("postgres.locale", "pattern"): ("en_US UTF-8", "must be a value such as"),
    ("postgres.locale", "shortest"): ("", "must have at least 1 characters"),
    ("postgres.locale", "longest"): ("a" * 65, "must have at most 64 characters"),
    ("postgres.connectionLimit", "type"): (1.5, "must be an integer"),
    ("postgres.connectionLimit", "least"): (-2, "must be at least -1"),
    ("postgres.connectionLimit", "most"): (262144, "must be at most 262143"),
    ("postgres.restrictPublic", "type"): ("on", "must be true or false"),
    ("postgres.restrictApplication", "type"): ("on", "must be true or false"),
    ("postgres.adopt", "type"): (1, "must be true or false"),
    ("postgres.dropRedundantIndexes", "type"): ("True", "must be true or false"),
    ("postgres.lockTimeout", "type"): ("10s", "must be a number"),
    ("postgres.lockTimeout", "above"): (0, "must be more than 0"),
    ("postgres.lockTimeout", "most"): (3601, "must be at most 3600"),
    ("postgres.statementTimeout", "type"): ("1e3", "must be a number"),
    ("postgres.statementTimeout", "above"): (0, "must be more than 0"),
    ("postgres.statementTimeout", "most"): (86401, "must be at most 86400"),
    ("postgres.maxConnections", "type"): (True, "must be an integer"),
    ("postgres.maxConnections", "least"): (9, "must be at least 10"),
    ("postgres.maxConnections", "most"): (262144, "must be at most 262143"),
    ("postgres.sharedBuffers", "type"): ("128MB", "must be an integer"),
    ("postgres.sharedBuffers", "least"): (0, "must be at least 1"),
    ("postgres.sharedBuffers", "most"): (1048577, "must be at most 1048576"),
    ("postgres.logMinDurationStatement", "type"): ("1s", "must be an integer"),
    ("postgres.logMinDurationStatement", "least"): (-2, "must be at least -1"),
    ("postgres.logMinDurationStatement", "most"): (TOO_LARGE, "must be at most 2147483647"),
    ("redis", "type"): ("127.0.0.1", "must be a group"),
    ("redis.port", "type"): ("6379 ", "must be an integer"),
    ("redis.port", "least"): (0, "must be at least 1"),
    ("redis.port", "most"): ("65536", "must be at most 65535"),
    ("redis.bind", "choice"): ("*", "must be one of '127.0.0.1', '::1' or 'localhost'"),
    ("redis.timeout", "type"): ("0s", "must be an integer"),
    ("redis.timeout", "least"): (-1, "must be at least 0"),
    ("redis.timeout", "most"): (TOO_LARGE, "must be at most 2147483647"),
    ("redis.tcpKeepalive", "type"): (300.0, "must be an integer"),
    ("redis.tcpKeepalive", "least"): (-1, "must be at least 0"),
    ("redis.tcpKeepalive", "most"): (TOO_LARGE, "must be at most 2147483647"),
    ("redis.maxmemory", "type"): (0.5, "must be text"),
    ("redis.maxmemory", "pattern"): ("256 MiB", "must be a value such as"),
    ("redis.maxmemoryPolicy", "choice"): ("lru", "must be one of 'noeviction'"),
    ("redis.save", "type"): ("900 1", "must be a list"),
    ("redis.save", "longest"): ([{"seconds": n, "changes": 1} for n in range(1, 18)], "must have at most 16 entries"),
    ("redis.save[].seconds", "type"): ([{"seconds": "1m", "changes": 1}], "must be an integer"),
    ("redis.save[].seconds", "least"): ([{"seconds": 0, "changes": 1}], "must be at least 1"),
    ("redis.save[].seconds", "most"): ([{"seconds": TOO_LARGE, "changes": 1}], "must be at most 2147483647"),
    ("redis.save[].seconds", "required"): ([{"changes": 1}], "is missing"),
    ("redis.save[].changes", "type"): ([{"seconds": 1, "changes": "many"}], "must be an integer"),
    ("redis.save[].changes", "least"): ([{"seconds": 1, "changes": 0}], "must be at least 1"),
    ("redis.save[].changes", "most"): ([{"seconds": 1, "changes": TOO_LARGE}], "must be at most 2147483647"),
    ("redis.save[].changes", "required"): ([{"seconds": 1}], "is missing"),
    ("redis.loglevel", "choice"): ("info", "must be one of 'debug', 'verbose', 'notice' or 'warning'"),
    ("redis.logfile", "type"): (False, "must be text"),
    ("redis.logfile", "pattern"): ("redis.log", "Absolute path"),
    ("application", "type"): ("production", "must be a group"),
    ("application.environment", "choice"): ("staging", "must be one of 'development' or 'production'"),
    ("application.debug", "type"): ("off", "must be true or false"),
    ("application.logLevel", "choice"): ("TRACE", "must be one of 'DEBUG'"),
    ("application.circleSandboxApiKey", "type"): (12345, "must be text"),
    ("application.circleSandboxApiKey", "longest"): ("k" * 513, "must have at most 512 characters"),
    ("application.circleSandboxApiKey", "_without_spaces"): (" TEST_API_KEY:1:2", "must not hold spaces"),
    ("application.circleEntitySecret", "type"): (7, "must be text"),
    ("application.circleEntitySecret", "_entity_secret"): ("z" * 64, "64 hexadecimal digits"),
    ("application.extra", "type"): (["A=1"], "must be a group of names"),
    ("application.extra", "longest"): ({f"N{n}": "x" for n in range(65)}, "must have at most 64 entries"),
    ("application.suppliedSecretsFile", "type"): (7, "must be text"),
    ("application.suppliedSecretsFile", "pattern"): ("a\0b", "must be a value such as"),
}
"""(setting, what limits it) -> a wrong value, and a part of the message that says what would be right."""

NAMED_LIMITS = {Ge: "least", Gt: "above", Le: "most", MinLen: "shortest", MaxLen: "longest"}


def nested(path: str, value: Any) -> dict[str, Any]:
    """`a.b` -> {a: {b: value}}; a list's member stands for the whole list."""
    group, _, name = path.partition("[].")[0].partition(".")
    return {group: {name: value}} if name else {group: value}


def limits(field: FieldInfo) -> Iterator[str]:
    """Names of everything that limits a field, found by looking at the model and nothing else."""
    kinds = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else (field.annotation,)
    if any(get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, Enum)) for kind in kinds):
        yield "choice"
    else:
        yield "type"
    if field.is_required():
        yield "required"
    for limit in constraints(field):
        if type(limit) in NAMED_LIMITS:
            yield NAMED_LIMITS[type(limit)]
        elif isinstance(limit, AfterValidator):
            yield limit.func.__name__
        elif getattr(limit, "pattern", None):
            yield "pattern"


def test_every_limit_of_every_field_has_a_wrong_case() -> None:
    introspected = {(path, limit) for path, field in fields(Settings) for limit in limits(field)}
    assert introspected == set(WRONG)


def test_a_new_limit_would_be_noticed() -> None:
    """The introspection itself: what it must find in a field made for it."""
    from typing import Annotated

    class Probe(BaseModel):
        secret: Annotated[SecretStr, Field(min_length=3)] | None = Field(default=None, max_length=5)
        number: int = Field(gt=3)

    assert set(limits(Probe.model_fields["secret"])) == {"type", "shortest", "longest"}
    assert set(limits(Probe.model_fields["number"])) == {"type", "required", "above"}


def test_no_section_has_validators_the_introspection_does_not_see() -> None:
    groups: list[type[BaseModel]] = [
        Settings,
        *(group for _, field in fields(Settings) if (group := group_of(field)) is not None),
    ]
    for group in groups:
        decorators = group.__pydantic_decorators__
        found = {**decorators.validators, **decorators.field_validators, **decorators.model_validators}
        assert not found, group


@pytest.mark.parametrize(("case", "expected"), WRONG.items(), ids=[":".join(case) for case in WRONG])
def test_wrong_value_is_refused_with_what_would_be_right(case: tuple[str, str], expected: tuple[Any, str]) -> None:
    path, _ = case
    value, right = expected
    error = refused("local", nested(path, value))
    assert f"circlepay:{path.replace('[]', '[0]')}" in error.message
    assert right in error.message
    secret = path in SECRETS or path.startswith("application.circle") or path.endswith("password")
    assert not (secret and str(value).strip() in error.message)
    assert error.__cause__ is None


def test_every_field_is_described_with_unit_or_limit() -> None:
    units = re.compile(r"seconds|milliseconds|MiB|bytes|connections|port|keys|\bkey\b|\d", re.IGNORECASE)
    for path, field in fields(Settings):
        description = field.description or ""
        assert description.endswith("."), path
        numeric = any(type(limit) in (Ge, Gt, Le, MaxLen, MinLen) for limit in constraints(field))
        assert not numeric or units.search(description), path


def test_nothing_set_is_the_documents_setup() -> None:
    settings = parse("local", {})
    assert settings.target is Target.PROCESSES
    assert (settings.redis.timeout, settings.redis.tcp_keepalive, settings.redis.maxmemory) == (0, 300, "256mb")
    assert settings.redis.maxmemory_policy == "allkeys-lru"
    assert [(point.seconds, point.changes) for point in settings.redis.save] == [(900, 1), (300, 10), (60, 10000)]
    assert (settings.postgres.database, settings.postgres.application_role) == ("circlepay_db", "circlepay_user")
    assert (settings.application.effective_debug, settings.application.effective_log_level) == (True, "DEBUG")


@pytest.mark.parametrize(
    ("stack", "raw", "expected"),
    [
        ("local", {}, ("builtin", "C.UTF-8")),
        ("anything", {}, ("builtin", "C.UTF-8")),
        ("local", {"target": "docker"}, ("libc", "en_US.UTF-8")),
        ("dev", {"target": "hosts", "postgres": {"localeProvider": "builtin"}}, ("builtin", "C.UTF-8")),
        ("local", {"postgres": {"locale": "ko_KR.UTF-8"}}, ("libc", "ko_KR.UTF-8")),
        ("local", {"postgres": {"locale": "PG_UNICODE_FAST"}}, ("builtin", "PG_UNICODE_FAST")),
        ("local", {"postgres": {"localeProvider": "libc"}}, ("libc", "en_US.UTF-8")),
        ("local", {"postgres": {"localeProvider": "icu"}}, ("icu", "en-US")),
        ("local", {"postgres": {"localeProvider": None}}, ("builtin", "C.UTF-8")),
    ],
)
def test_locale_defaults_follow_target_and_provider(stack: str, raw: dict[str, Any], expected: tuple[str, str]) -> None:
    postgres = parse(stack, raw).postgres
    assert (postgres.locale_provider, postgres.locale) == expected


def test_a_list_for_a_locale_is_refused_like_any_other_wrong_type() -> None:
    assert "must be text" in refused("local", {"postgres": {"locale": ["C"]}}).message


def test_production_defaults() -> None:
    application = parse("prod", {"application": CIRCLE}).application
    assert application.environment is Environment.PRODUCTION
    assert (application.effective_debug, application.effective_log_level) == (False, "INFO")


def test_scalars_and_groups_arrive_as_texts() -> None:
    settings = parse("local", {"verify": "false", "postgres": '{"port":"5433","adopt":"true","lockTimeout":"2.5"}'})
    assert (settings.verify, settings.postgres.port, settings.postgres.adopt) == (False, 5433, True)
    assert settings.postgres.lock_timeout == 2.5


@pytest.mark.parametrize("written", [268435456, "268435456"])
def test_an_amount_of_memory_may_be_a_number_of_bytes(written: int | str) -> None:
    """YAML makes a number of it, quoted or not where `pulumi config set` wrote it."""
    assert parse("local", {"redis": {"maxmemory": written}}).redis.maxmemory == "268435456"
    assert "circlepay:redis.maxmemory" in refused("local", {"redis": {"maxmemory": True}}).message


def test_keys_of_the_stacks_own_are_secrets_and_may_be_numbers_and_flags() -> None:
    settings = parse(
        "local", {"application": {"extra": {"SENTRY_DSN": STRONG, "WORKERS": 4, "beta": True, "NONE": ""}}}
    )
    assert settings.application.plain_extra == {"SENTRY_DSN": STRONG, "WORKERS": "4", "beta": "true", "NONE": ""}
    assert STRONG not in repr(settings)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"9LIVES": "x"}, "application.extra.9LIVES: is no name of a variable"),
        ({"A B": "x"}, 'application.extra["A B"]: is no name of a variable'),
        ({"A" * 129: "x"}, "is no name of a variable"),
        ({"DATABASE_URL": "x"}, "application.extra.DATABASE_URL: is a key that the env file has anyway"),
        ({"ENV_FILE_DOLLAR": "x"}, "is a key that the env file has anyway"),
        ({"UID": "x"}, "application.extra.UID: would change the shell"),
        ({"LONG": "hunter2" * 600}, "application.extra.LONG: must have at most 4096 characters"),
        ({"LINES": "hunter2\n"}, "application.extra.LINES: must be printable ASCII"),
        ({"RATIO": 1.10}, "application.extra.RATIO: must be text; quote it"),
    ],
)
def test_keys_that_no_env_file_can_have(extra: dict[str, Any], said: str) -> None:
    error = refused("local", {"application": {"extra": extra}, "redis": {"port": "x"}})
    assert said in error.message
    assert "hunter2" not in error.message
    assert "circlepay:redis.port" in error.message, "one run says everything"


def test_a_name_without_a_value_is_unset() -> None:
    settings = parse("local", {"postgres": None, "redis": {"port": None, "loglevel": None}})
    assert settings.redis.loglevel == "notice"


def test_secrets_do_not_show() -> None:
    settings = parse("local", {"redis": {"password": STRONG}})
    assert STRONG not in repr(settings)
    assert STRONG not in str(settings.model_dump())


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets Pulumi's configuration as its language host does."""
    from pulumi.runtime import config as runtime

    monkeypatch.setenv("PULUMI_CONFIG", "{}")
    before = dict(runtime.CONFIG.get())
    yield pulumi.runtime.set_all_config
    pulumi.runtime.set_all_config(before)


def test_load_reads_what_pulumi_has(configured: Any) -> None:
    configured({"circlepay:redis": '{"port":7001}', "circlepay:verify": "false", "aws:region": "eu-west-1"})
    settings = load("local", pulumi.Config("circlepay"))
    assert (settings.redis.port, settings.verify) == (7001, False)


def test_load_sees_unknown_names(configured: Any) -> None:
    configured({"circlepay:redsi": '{"port":7001}'})
    with pytest.raises(SettingsError, match=r"circlepay:redis\?"):
        load("local", pulumi.Config("circlepay"))


def test_load_reads_the_environment_too(configured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configured({})
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"circlepay:redis": '{"port": 7002}'}))
    assert load("local", pulumi.Config("circlepay")).redis.port == 7002


@pytest.mark.parametrize("target", ["hosts", "external"])
def test_a_target_that_is_not_built_is_one_sentence_before_all_else(configured: Any, target: str) -> None:
    configured({"circlepay:target": target, "circlepay:verify": "maybe"})
    with pytest.raises(SettingsError) as caught:
        load("prod", pulumi.Config("circlepay"))
    assert caught.value.path == "circlepay:target"
    assert caught.value.cause == unsupported_target_message(Target(target))
    assert "is not built yet" in caught.value.cause
    assert "\n" not in caught.value.cause


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_committed_stacks_are_right_but_for_what_is_supplied(stack: str) -> None:
    content = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    raw = {name.removeprefix("circlepay:"): value for name, value in content["config"].items()}
    if stack == "prod":
        assert "2 settings are wrong" in refused(stack, raw).message
        raw["application"].update(CIRCLE)
    settings = parse(stack, raw)
    assert settings.application.environment == ("production" if stack == "prod" else "development")
