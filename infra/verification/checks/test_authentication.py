"""Every login needs the right password, and no password is sent in plain text."""

from __future__ import annotations

import ipaddress
import tempfile
from typing import Any

import psycopg
import pytest

from infra.cache import wire
from infra.endpoint import Endpoint
from infra.verification.checks.expectation import MismatchError, expect
from infra.verification.checks.observations import TIMEOUT, Ask, Row, connect
from infra.verification.subject import Subject

WRONG = "not-the-password"
NO_PASSWORD_FILE = f"{tempfile.gettempdir()}/circlepay-no-such-password-file"
"""Otherwise libpq could find a password in ~/.pgpass."""
REMEDY = "the server accepts logins without the right password: run `make up`, then check its log for connections"
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


@pytest.mark.on_shared_machine("postgres")
def test_postgres_rules_are_for_loopback(authentication_rules: list[Row]) -> None:
    rules = [rule for rule in authentication_rules if not rule["error"] and rule["auth_method"] != "reject"]
    elsewhere = [
        f"line {rule['line_number']}: {rule['address']}"
        for rule in rules
        if rule["type"] != "local" and not _is_loopback(rule["address"], rule["netmask"])
    ]
    expect(elsewhere, [], "pg_hba.conf accepts connections from other machines: run `make up`")


def _is_loopback(address: str, netmask: str | None) -> bool:
    if address in LOOPBACK_NAMES:
        return True
    try:
        prefix = int(ipaddress.ip_address(netmask or "")).bit_count()
        return ipaddress.ip_network(f"{address}/{prefix}", strict=False).is_loopback
    except ValueError:
        return False


def test_postgres_stores_scram_verifiers(catalog: dict[str, Any]) -> None:
    expect(
        catalog["weak_verifiers"], [], "set the passwords of these roles again with password_encryption = scram-sha-256"
    )


def test_redis_accepts_the_password(redis: Ask) -> None:
    expect(redis("PING"), "PONG")


def test_redis_refuses_without_a_password(subject: Subject) -> None:
    expect(_code_for_a_stranger(subject, "PING"), "NOAUTH", REMEDY)


def test_redis_refuses_a_wrong_password(subject: Subject) -> None:
    expect(_code_for_a_stranger(subject, "AUTH", WRONG), "WRONGPASS", REMEDY)


def _code_for_a_stranger(subject: Subject, *words: str) -> str:
    """The error's code without a login, or the whole answer if it is not an error."""
    (reply,) = wire.ask(Endpoint(subject.redis.host, subject.redis.port), words, timeout=TIMEOUT)
    return reply.text.partition(" ")[0] if isinstance(reply, wire.Refusal) else str(reply)


def test_redis_has_no_other_user(redis: Ask) -> None:
    users = {line.split()[1]: line.split()[2:] for line in redis("ACL", "LIST")}
    expect(sorted(users), ["default"], "remove the other users with ACL DELUSER")
    expect("nopass" in users["default"], False, REMEDY)
    # A second password would stay valid after the first one is changed.
    remedy = "restart the server, which then reads its password from its file"
    expect(sum(rule.startswith("#") for rule in users["default"]), 1, remedy)
