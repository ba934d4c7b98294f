"""The application's env file: private, complete, and with credentials that all authenticate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from infra.cache import wire
from infra.endpoint import Endpoint
from infra.postgres.connection import open_session
from infra.verification.checks.expectation import expect, expect_that
from infra.verification.checks.expected import ENV_KEYS, SUPPLIED_ENV_KEYS
from infra.verification.checks.observations import APPLICATION_NAME, TIMEOUT
from infra.verification.subject import ServerSubject, Subject


@pytest.fixture(scope="module")
def path(subject: Subject) -> Path:
    assert subject.env_file is not None
    return Path(subject.env_file)


@pytest.fixture(scope="module")
def values(path: Path) -> dict[str, str | None]:
    from dotenv import dotenv_values

    return dotenv_values(path, interpolate=False)


def test_mode(path: Path) -> None:
    expect(f"{path.stat().st_mode & 0o7777:o}", "600", f"chmod 600 {path}, or run `make up`")


def test_owner(path: Path) -> None:
    expect(path.stat().st_uid, os.geteuid(), f"chown it, or move {path} away and run `make up`")


@pytest.mark.parametrize("key", ENV_KEYS)
def test_key(values: dict[str, str | None], key: str) -> None:
    expect_that(key in values, f"{key} is present", "it is missing")
    expect_that(bool(values[key]) or key in SUPPLIED_ENV_KEYS, f"{key} has a value", "it is empty")


def test_own_keys(values: dict[str, str | None], subject: Subject) -> None:
    missing = [key for key in subject.own_keys if values.get(key) is None]
    expect(missing, [], "circlepay:application.extra declares them: run `make up`")


def test_environment(values: dict[str, str | None]) -> None:
    expect_that(
        values.get("ENVIRONMENT") in ("development", "production"),
        "ENVIRONMENT is development or production",
        values.get("ENVIRONMENT"),
    )
    expect_that(values.get("DEBUG") in ("true", "false"), "DEBUG is true or false", values.get("DEBUG"))


def _through_tunnel(server: ServerSubject, url: str) -> dict[str, Any]:
    """The tunnel's host and port, to replace the URL's own, which are valid on the server's machine only."""
    if not server.tunnel:
        return {}
    parts = urlsplit(url)
    expect((parts.hostname, parts.port), (server.location.host, server.location.port))
    return {"host": server.host, "port": server.port}


def test_database_url_connects(values: dict[str, str | None], subject: Subject) -> None:
    server = subject.postgres
    url = values["DATABASE_URL"] or ""
    instead = _through_tunnel(server, url)
    with open_session(url, application_name=APPLICATION_NAME, connect_timeout=TIMEOUT, **instead) as connection:
        row = connection.execute("SELECT current_user, current_database(), inet_server_port()").fetchone()
    expect(row, (server.application_role, server.database, int(server.placeholders["port"])))


def test_redis_url_connects(values: dict[str, str | None], subject: Subject) -> None:
    url = urlsplit(values["REDIS_URL"] or "")
    server = subject.redis
    expect(url.scheme, "redis")
    if not server.tunnel:
        expect(url.port, server.port)
    instead = _through_tunnel(server, values["REDIS_URL"] or "")
    place = Endpoint(instead.get("host", url.hostname or ""), instead.get("port", url.port or 0))
    login = ("AUTH", unquote(url.username or ""), unquote(url.password or ""))
    expect(wire.answer(place, login, ("PING",), timeout=TIMEOUT), "PONG")
