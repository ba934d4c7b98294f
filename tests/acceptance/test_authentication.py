"""Nobody gets in without the right password, and no password crosses the wire."""

from __future__ import annotations

import ipaddress
import tempfile
from typing import Any

import psycopg
import pytest

from infra.verification import Subject
from tests.acceptance.expectation import MismatchError, expect
from tests.acceptance.observations import Row, connect
from tests.acceptance.redis_wire import Conversation, RefusedError

WRONG = "not-the-password"
NO_PASSWORD_FILE = f"{tempfile.gettempdir()}/circlepay-no-such-password-file"
"""libpq would otherwise find a password in ~/.pgpass."""
REMEDY = "the server lets anybody in: run `make up`, then look at who connected in its log"
SAFE_METHODS = ("scram-sha-256", "reject")
LOOPBACK_NAMES = ("localhost", "samehost")


def _user(subject: Subject, who: str) -> tuple[str, str]:
    server = subject.postgres
    if who == "superuser":
        return server.superuser, server.superuser_password
    return server.application_role, server.application_password


@pytest.mark.parametrize("who", ["superuser", "application"])
def test_postgres_authenticates_by_scram(subject: Subject, who: str) -> None:
    user, password = _user(subject, who)
    with connect(subject, user, password, require_auth="scram-sha-256") as connection:
        expect(connection.pgconn.used_password, True, REMEDY)


@pytest.mark.parametrize("password", ["", WRONG], ids=["without a password", "with a wrong password"])
@pytest.mark.parametrize("who", ["superuser", "application"])
def test_postgres_refuses(subject: Subject, who: str, password: str) -> None:
    user, _ = _user(subject, who)
    try:
        connect(subject, user, password, passfile=NO_PASSWORD_FILE).close()
    except psycopg.OperationalError:
        return
    raise MismatchError(f"{user} is refused", "the connection was accepted", REMEDY)


def test_postgres_rules_are_scram(authentication_rules: list[Row]) -> None:
    unsafe = [
        f"line {rule['line_number']}: {rule['type']} {rule['auth_method'] or rule['error']}"
        for rule in authentication_rules
        if rule["error"] or rule["auth_method"] not in SAFE_METHODS
    ]
    expect(unsafe, [], "pg_hba.conf has other methods than scram-sha-256: run `make up`")


@pytest.mark.without_container("postgres")
def test_postgres_rules_are_for_loopback(authentication_rules: list[Row]) -> None:
    rules = [rule for rule in authentication_rules if not rule["error"] and rule["auth_method"] != "reject"]
    elsewhere = [
        f"line {rule['line_number']}: {rule['address']}"
        for rule in rules
        if rule["type"] != "local" and not _is_loopback(rule["address"], rule["netmask"])
    ]
    expect(elsewhere, [], "pg_hba.conf lets other machines in: run `make up`")


def _is_loopback(address: str, netmask: str | None) -> bool:
    if address in LOOPBACK_NAMES:
        return True
    try:
        prefix = int(ipaddress.ip_address(netmask or "")).bit_count()
        return ipaddress.ip_network(f"{address}/{prefix}", strict=False).is_loopback
    except ValueError:
        return False


def test_postgres_stores_scram_verifiers(catalog: dict[str, Any]) -> None:
    expect(catalog["weak_verifiers"], [], "set these roles' passwords again, with password_encryption = scram-sha-256")


def test_redis_accepts_the_password(subject: Subject) -> None:
    with Conversation(subject.redis.host, subject.redis.port) as conversation:
        expect(conversation.ask("AUTH", subject.redis.password), "OK")
        expect(conversation.ask("PING"), "PONG")


def test_redis_refuses_without_a_password(subject: Subject) -> None:
    with Conversation(subject.redis.host, subject.redis.port) as conversation:
        try:
            answer = conversation.ask("PING")
        except RefusedError as error:
            expect(str(error).partition(" ")[0], "NOAUTH", REMEDY)
            return
    raise MismatchError("NOAUTH", answer, REMEDY)


def test_redis_refuses_a_wrong_password(subject: Subject) -> None:
    with Conversation(subject.redis.host, subject.redis.port) as conversation:
        try:
            answer = conversation.ask("AUTH", WRONG)
        except RefusedError as error:
            expect(str(error).partition(" ")[0], "WRONGPASS", REMEDY)
            return
    raise MismatchError("WRONGPASS", answer, REMEDY)


def test_redis_has_no_other_user(redis: Conversation) -> None:
    users = {line.split()[1]: line.split()[2:] for line in redis.ask("ACL", "LIST")}
    expect(sorted(users), ["default"], "remove the others with ACL DELUSER")
    expect("nopass" in users["default"], False, REMEDY)
    # A second password would stay valid after the first one is changed.
    expect(sum(rule.startswith("#") for rule in users["default"]), 1, "restart the server: it reads its file again")
