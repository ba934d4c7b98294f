"""Reads the env file as an application does, with python-dotenv."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from dotenv import dotenv_values

REQUIRED = (
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "JWT_SECRET_KEY",
    "ENVIRONMENT",
    "DEBUG",
    "LOG_LEVEL",
)
SUPPLIED = ("CIRCLE_SANDBOX_API_KEY", "CIRCLE_ENTITY_SECRET")
"""Keys that must be present, but may be empty outside production."""

LOG_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


class EnvironmentFileError(Exception):
    """The env file cannot be used; the text says why, without any value of the file."""


@dataclass(frozen=True)
class Environment:
    """The content of the env file. Its values are not in `repr`."""

    values: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Environment({', '.join(sorted(self.values))})"

    @property
    def database_url(self) -> str:
        """DATABASE_URL as written."""
        return self.values["DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        """REDIS_URL as written."""
        return self.values["REDIS_URL"]


def load(path: Path) -> Environment:
    """The env file at `path`. Raises EnvironmentFileError when it cannot be read or lacks a URL."""
    if not path.is_file():
        raise EnvironmentFileError(f"{path}: no such env file; `make up` writes it")
    try:
        read = dotenv_values(path, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFileError(f"{path}: cannot be read: {type(error).__name__}") from None
    values = {key: value for key, value in read.items() if value is not None}
    missing = [key for key in ("DATABASE_URL", "REDIS_URL") if not values.get(key)]
    if missing:
        raise EnvironmentFileError(f"{path}: {', '.join(missing)} missing or empty")
    return Environment(values)


def problems(environment: Environment) -> list[str]:
    """Problems of the env file for an application, one sentence each; never a value."""
    values = environment.values
    production = values.get("ENVIRONMENT") == "production"
    found = [f"{key} is missing or empty" for key in REQUIRED if not values.get(key)]
    for key in SUPPLIED:
        if key not in values:
            found.append(f"{key} is missing")
        elif production and not values[key]:
            found.append(f"{key} is empty in production")
    if values.get("ENVIRONMENT") not in {"development", "production"}:
        found.append("ENVIRONMENT is neither development nor production")
    if values.get("DEBUG") not in {"true", "false"}:
        found.append("DEBUG is neither true nor false")
    if production and values.get("DEBUG") != "false":
        found.append("DEBUG is not false in production")
    if values.get("LOG_LEVEL") not in LOG_LEVELS:
        found.append(f"LOG_LEVEL is none of {', '.join(sorted(LOG_LEVELS))}")
    if values.get("CIRCLE_ENTITY_SECRET") and not re.fullmatch(r"[0-9a-fA-F]{64}", values["CIRCLE_ENTITY_SECRET"]):
        found.append("CIRCLE_ENTITY_SECRET is not 32 bytes as 64 hexadecimal digits")
    return found


def redact(text: str, environment: Environment) -> str:
    """The text with every secret of the environment masked: drivers include parts of a URL in their messages."""
    secrets = {environment.values.get(key, "") for key in ("SECRET_KEY", "JWT_SECRET_KEY", *SUPPLIED)}
    for key in ("DATABASE_URL", "REDIS_URL"):
        url = environment.values.get(key, "")
        secrets |= {url, *_passwords(url)}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _passwords(url: str) -> set[str]:
    try:
        written = urlsplit(url).password or ""
    except ValueError:
        written = ""
    return {written, unquote(written), quote(unquote(written), safe="")}
