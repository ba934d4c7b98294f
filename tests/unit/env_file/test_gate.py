"""The publish gate against real servers: everything an env file promises is broken once, and the gate names it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from infra.endpoint import Endpoint, Login
from infra.env_file.encoding import database_url, encode, redis_url
from infra.env_file.gate import check
from infra.errors import PublishError
from tests.support import live_servers

PASSWORD = "p@ss/w:rd #1 'it$`\\\" 100%~"
OWN_SECRET = "k7#Vq2!xTz9@Lm4$Rw8^Yb3&Nc6*Hd1("
ENTITY = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MIGRATIONS = [
    {"version": 1, "name": "baseline", "sha256": "a" * 64},
    {"version": 2, "name": "currency", "sha256": "b" * 64},
]


BROKEN_URLS = [
    "postgresql://u:hunter2hunter2@h:port/d",
    "postgresql://u:hunter2/hunter2@127.0.0.1:5432/d",
    "redis://:hunter2#hunter2@127.0.0.1:6379",
    "redis://:hunter2?hunter2@127.0.0.1:6379",
]


@dataclass
class Stack:
    """Two running servers, and the env file's values that open them."""

    values: dict[str, str]
    superuser: Login
    server: live_servers.LiveServer
    cache: live_servers.LiveServer

    def check(self, *, migrations: list[dict[str, Any]] = MIGRATIONS, failed: int = 0, **changes: str) -> None:
        check(
            encode({**self.values, **changes}),
            declared_migrations=migrations,
            superuser=self.superuser,
            verification_failed=failed,
        )

    def refusal(self, **arguments: Any) -> str:
        with pytest.raises(PublishError) as caught:
            self.check(**arguments)
        return caught.value.message


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with live_servers.postgres() as server, live_servers.cache() as cache:
        with live_servers.connect(server, "postgres") as connection:
            connection.execute("CREATE DATABASE circlepay_db")
            connection.execute("CREATE ROLE circlepay_user LOGIN")
            quoted = PASSWORD.replace("'", "''")
            connection.execute(f"ALTER ROLE circlepay_user PASSWORD '{quoted}'".encode())
        with live_servers.connect(server) as connection:
            connection.execute("CREATE SCHEMA circlepay")
            connection.execute("CREATE TABLE circlepay.migrations (version int, name text, sha256 text)")
            for row in MIGRATIONS:
                connection.execute("INSERT INTO circlepay.migrations VALUES (%(version)s, %(name)s, %(sha256)s)", row)
        endpoint = Endpoint("127.0.0.1", server.port)
        application = Login(endpoint, "circlepay_user", PASSWORD, "circlepay_db")
        values = {
            "DATABASE_URL": database_url(application),
            "REDIS_URL": redis_url(Login(Endpoint("127.0.0.1", cache.port), "", cache.password)),
            "SECRET_KEY": OWN_SECRET,
            "JWT_SECRET_KEY": OWN_SECRET[::-1],
            "CIRCLE_SANDBOX_API_KEY": "",
            "CIRCLE_ENTITY_SECRET": "",
            "ENVIRONMENT": "development",
            "DEBUG": "true",
            "LOG_LEVEL": "DEBUG",
        }
        yield Stack(values, Login(endpoint, "postgres", server.password, "circlepay_db"), server, cache)


def test_opens_when_everything_holds(stack: Stack) -> None:
    stack.check()
    stack.check(CIRCLE_ENTITY_SECRET=ENTITY, CIRCLE_SANDBOX_API_KEY="TEST_API_KEY:1:2")


def test_is_quick(stack: Stack) -> None:
    """It stands at the end of every changed `up`: no attempt is repeated, no answer waited for twice."""
    stack.check()
    started = time.monotonic()
    stack.check()
    assert time.monotonic() - started < 1


def test_the_applications_password(stack: Stack) -> None:
    login = Login(stack.superuser.endpoint, "circlepay_user", "wrong-" + PASSWORD, "circlepay_db")
    message = stack.refusal(DATABASE_URL=database_url(login))
    assert "DATABASE_URL does not open the database" in message
    assert "password authentication failed" in message


def test_the_applications_role_and_database(stack: Stack) -> None:
    absent = Login(stack.superuser.endpoint, "nobody_at_all", PASSWORD, "circlepay_db")
    assert "DATABASE_URL does not open" in stack.refusal(DATABASE_URL=database_url(absent))
    elsewhere = Login(stack.superuser.endpoint, "circlepay_user", PASSWORD, "absent_db")
    assert "absent_db" in stack.refusal(DATABASE_URL=database_url(elsewhere))


def test_an_application_is_no_superuser(stack: Stack) -> None:
    assert "logs in as a superuser" in stack.refusal(DATABASE_URL=database_url(stack.superuser))


def test_nobody_listens(stack: Stack) -> None:
    port = live_servers.free_port()
    nowhere = Endpoint("127.0.0.1", port)
    message = stack.refusal(
        DATABASE_URL=database_url(Login(nowhere, "circlepay_user", PASSWORD, "circlepay_db")),
        REDIS_URL=redis_url(Login(nowhere, "", "some-password-of-the-cache")),
    )
    assert "2 of its promises" in message
    assert "DATABASE_URL does not open" in message
    assert "REDIS_URL does not open" in message


def test_the_caches_password(stack: Stack) -> None:
    login = Login(Endpoint("127.0.0.1", stack.cache.port), "", "wrong-password-of-the-cache")
    message = stack.refusal(REDIS_URL=redis_url(login))
    assert "REDIS_URL does not open the cache: invalid username-password pair" in message
    assert "1 of its promises" in message


def test_a_cache_that_everybody_may_use(stack: Stack) -> None:
    with redis.Redis(port=stack.cache.port, password=stack.cache.password) as client:
        client.acl_setuser("default", enabled=True, nopass=True)
        try:
            assert "so does any client without a password" in stack.refusal()
        finally:
            client.acl_setuser("default", enabled=True, reset_passwords=True, passwords=[f"+{stack.cache.password}"])
    stack.check()


@pytest.mark.parametrize("url", ["", "postgresql://", "not a url", *BROKEN_URLS])
def test_urls_that_are_none(stack: Stack, url: str) -> None:
    message = stack.refusal(DATABASE_URL=url, REDIS_URL=url)
    assert "DATABASE_URL " in message
    assert "REDIS_URL " in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("migrations", "said"),
    [
        (
            [MIGRATIONS[0], {**MIGRATIONS[1], "sha256": "c" * 64}],
            "migration 2 currency was edited after it was applied",
        ),
        ([*MIGRATIONS, {"version": 3, "name": "new", "sha256": "d"}], "migration 3 new is not applied"),
        (MIGRATIONS[:1], "migration 2 currency is applied but not among the declared ones"),
    ],
)
def test_migrations(stack: Stack, migrations: list[dict[str, Any]], said: str) -> None:
    assert said in stack.refusal(migrations=migrations)


def test_versions_may_arrive_as_pulumi_sends_them(stack: Stack) -> None:
    stack.check(migrations=json.loads(json.dumps(MIGRATIONS), parse_int=float))


def test_what_a_server_repeats_is_masked(stack: Stack) -> None:
    """Somebody put the password where the database's name belongs, and the server says that name."""
    login = Login(stack.superuser.endpoint, "circlepay_user", PASSWORD, PASSWORD)
    message = stack.refusal(DATABASE_URL=database_url(login))
    assert '"[secret]" does not exist' in message
    assert PASSWORD not in message


def test_no_record_of_migrations(stack: Stack) -> None:
    with live_servers.connect(stack.server) as connection:
        connection.execute("ALTER TABLE circlepay.migrations RENAME TO hidden")
        try:
            assert "migrations: cannot be read" in stack.refusal()
        finally:
            connection.execute("ALTER TABLE circlepay.hidden RENAME TO migrations")


def test_failed_verification(stack: Stack) -> None:
    assert "verification: 3 checks failed" in stack.refusal(failed=3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"CIRCLE_ENTITY_SECRET": "abc"}, "CIRCLE_ENTITY_SECRET must be 32 bytes"),
        ({"CIRCLE_SANDBOX_API_KEY": "your_circle_sandbox_api_key"}, "CIRCLE_SANDBOX_API_KEY is the document's example"),
        ({"ENVIRONMENT": "production"}, "CIRCLE_ENTITY_SECRET is missing"),
        ({"ENVIRONMENT": "production", "DEBUG": "true"}, "DEBUG must be false in production"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is missing"),
        ({"JWT_SECRET_KEY": ""}, "JWT_SECRET_KEY is missing"),
    ],
)
def test_values_that_are_never_published(stack: Stack, changes: dict[str, str], said: str) -> None:
    assert said in stack.refusal(**changes)


def test_keys_of_the_stacks_own_are_read_back(stack: Stack) -> None:
    own, text = {"OWN": PASSWORD, "MORE": "1"}, encode(stack.values, "", {"OWN": PASSWORD, "MORE": "2"})
    with pytest.raises(PublishError, match="MORE does not read back as it was declared") as caught:
        check(text, declared_migrations=MIGRATIONS, superuser=stack.superuser, verification_failed=0, extra=own)
    assert "OWN" not in caught.value.message


def test_everything_is_listed_and_nothing_is_told(stack: Stack) -> None:
    wrong = "wrong-" + secrets.token_urlsafe(24)
    message = stack.refusal(
        DATABASE_URL=database_url(Login(stack.superuser.endpoint, "circlepay_user", wrong, "circlepay_db")),
        REDIS_URL=redis_url(Login(Endpoint("127.0.0.1", stack.cache.port), "", wrong)),
        CIRCLE_ENTITY_SECRET=wrong,
        migrations=[],
        failed=1,
    )
    assert "6 of its promises" in message
    assert "the previous env file is unchanged" in message
    for secret in (wrong, PASSWORD, OWN_SECRET, stack.server.password, stack.cache.password):
        assert secret not in message
