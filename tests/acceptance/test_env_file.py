"""The env file the application reads: private, complete, and every credential in it opens its server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from infra.verification import ServerPlace, Subject
from tests.acceptance.expectation import expect, expect_that
from tests.acceptance.expected import ENV_KEYS, SUPPLIED_ENV_KEYS
from tests.acceptance.redis_wire import Conversation


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
    expect_that(key in values, f"{key} is there", "it is missing")
    expect_that(bool(values[key]) or key in SUPPLIED_ENV_KEYS, f"{key} has a value", "it is empty")


def test_environment(values: dict[str, str | None]) -> None:
    expect_that(values.get("ENVIRONMENT") in ("development", "production"), "a known one", values.get("ENVIRONMENT"))
    expect_that(values.get("DEBUG") in ("true", "false"), "true or false", values.get("DEBUG"))


def _through_tunnel(server: ServerPlace, url: str) -> dict[str, Any]:
    """What to connect to in place of the URL's own host and port, which are those that the server's machine sees."""
    if not server.via:
        return {}
    parts = urlsplit(url)
    expect(f"{parts.hostname}:{parts.port}", server.published)
    return {"host": server.host, "port": server.port}


def test_database_url_connects(values: dict[str, str | None], subject: Subject) -> None:
    server = subject.postgres
    url = values["DATABASE_URL"] or ""
    with psycopg.connect(url, connect_timeout=5, **_through_tunnel(server, url)) as connection:
        row = connection.execute("SELECT current_user, current_database(), inet_server_port()").fetchone()
    expect(row, (server.application_role, server.database, int(server.all_places["port"])))


def test_redis_url_connects(values: dict[str, str | None], subject: Subject) -> None:
    url = urlsplit(values["REDIS_URL"] or "")
    server = subject.redis
    expect(url.scheme, "redis")
    if not server.via:
        expect(url.port, server.port)
    instead = _through_tunnel(server, values["REDIS_URL"] or "")
    with Conversation(instead.get("host", url.hostname or ""), instead.get("port", url.port or 0)) as conversation:
        conversation.ask("AUTH", unquote(url.password or ""))
        expect(conversation.ask("PING"), "PONG")
