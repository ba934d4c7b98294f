"""The env file as an application reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app_stub.environment import Environment, EnvironmentFileError, load, problems, redact

GOOD = {
    "DATABASE_URL": "postgresql://circlepay_user:p%40ss%2Fword@127.0.0.1:5432/circlepay_db",
    "REDIS_URL": "redis://default:r%3Adis@127.0.0.1:6379",
    "SECRET_KEY": "the-secret-key",
    "JWT_SECRET_KEY": "the-jwt-key",
    "CIRCLE_SANDBOX_API_KEY": "",
    "CIRCLE_ENTITY_SECRET": "",
    "ENVIRONMENT": "development",
    "DEBUG": "true",
    "LOG_LEVEL": "DEBUG",
}
PRODUCTION = GOOD | {
    "ENVIRONMENT": "production",
    "DEBUG": "false",
    "LOG_LEVEL": "INFO",
    "CIRCLE_SANDBOX_API_KEY": "live",
    "CIRCLE_ENTITY_SECRET": "0f" * 32,
}


@pytest.mark.parametrize("values", [GOOD, PRODUCTION], ids=["development", "production"])
def test_good_environment_has_no_problems(values: dict[str, str]) -> None:
    assert problems(Environment(values)) == []


@pytest.mark.parametrize("key", GOOD)
def test_missing_key_is_named(key: str) -> None:
    values = {name: value for name, value in GOOD.items() if name != key}
    assert any(problem.startswith(f"{key} is") for problem in problems(Environment(values)))


@pytest.mark.parametrize(
    ("base", "change", "told"),
    [
        (GOOD, {"ENVIRONMENT": "staging"}, "ENVIRONMENT is neither development nor production"),
        (GOOD, {"DEBUG": "True"}, "DEBUG is neither true nor false"),
        (GOOD, {"LOG_LEVEL": "LOUD"}, "LOG_LEVEL is none of CRITICAL, DEBUG, ERROR, INFO, WARNING"),
        (GOOD, {"CIRCLE_ENTITY_SECRET": "0f"}, "CIRCLE_ENTITY_SECRET is not 32 bytes as 64 hexadecimal digits"),
        (PRODUCTION, {"DEBUG": "true"}, "DEBUG is not false in production"),
        (PRODUCTION, {"CIRCLE_ENTITY_SECRET": ""}, "CIRCLE_ENTITY_SECRET is empty in production"),
        (PRODUCTION, {"CIRCLE_SANDBOX_API_KEY": ""}, "CIRCLE_SANDBOX_API_KEY is empty in production"),
    ],
)
def test_wrong_value_is_told(base: dict[str, str], change: dict[str, str], told: str) -> None:
    assert problems(Environment(base | change)) == [told]


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("".join(f"{key}='{value}'\n" for key, value in GOOD.items()))
    assert load(path).values == GOOD


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such env file"),
        (b"REDIS_URL=x\n", "DATABASE_URL missing or empty"),
        (b"DATABASE_URL=\nREDIS_URL=x\n", "DATABASE_URL missing or empty"),
        (b"\xff\xfe", "cannot be read: UnicodeDecodeError"),
    ],
    ids=["absent", "no database", "empty database", "not text"],
)
def test_unusable_file_is_told(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / ".env"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EnvironmentFileError, match=told):
        load(path)


def test_values_stay_out_of_repr() -> None:
    assert repr(Environment({"SECRET_KEY": "hunter2"})) == "Environment(SECRET_KEY)"


@pytest.mark.parametrize(
    "leak", ["p@ss/word", "p%40ss%2Fword", "the-secret-key", "the-jwt-key", "r:dis", GOOD["REDIS_URL"]]
)
def test_redact_removes_every_form_of_a_secret(leak: str) -> None:
    assert redact(f"could not use {leak} there", Environment(GOOD)) == "could not use *** there"
