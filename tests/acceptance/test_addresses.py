"""Nothing listens beyond the declared addresses."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from infra.verification import PostgresSubject, RedisSubject, Subject
from tests.acceptance.expectation import MismatchError, expect, expect_that
from tests.acceptance.machine import Address, Machine

SERVERS = ("postgres", "redis")


def _server(subject: Subject, name: str) -> PostgresSubject | RedisSubject:
    return subject.postgres if name == "postgres" else subject.redis


def _declared(server: PostgresSubject | RedisSubject) -> set[Address]:
    """Every address the declared name stands for; `localhost` is often two."""
    found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    return {Address(str(entry[4][0]), server.port) for entry in found}


def _observed(machine: Machine, name: str, port: int) -> set[Address]:
    """What the server's process listens on; where its sockets are hidden from us, everything on its port."""
    process = machine.processes[name]
    hidden = process.sockets is None and not process.listening
    return {each for each in machine.listeners.values() if each.port == port} if hidden else process.listening


@pytest.mark.parametrize("name", SERVERS)
def test_only_declared_addresses(machine: Machine, subject: Subject, name: str) -> None:
    server = _server(subject, name)
    observed = _observed(machine, name, server.port)
    remedy = "take the other addresses out of its configuration and run `make up`"
    expect_that(bool(observed), f"listens on {server.host}:{server.port}", "no listening socket", remedy)
    undeclared = sorted(observed - _declared(server))
    if undeclared:
        raise MismatchError(sorted(_declared(server)), sorted(observed), remedy)


@pytest.mark.parametrize("name", SERVERS)
def test_only_loopback(machine: Machine, subject: Subject, name: str) -> None:
    observed = _observed(machine, name, _server(subject, name).port)
    outside = [each.ip for each in observed if not ipaddress.ip_address(each.ip).is_loopback]
    expect(
        outside, [], "nobody outside this machine shall reach the server: set its address to 127.0.0.1, run `make up`"
    )


def test_no_unix_socket_postgres(catalog: dict[str, Any]) -> None:
    expect(catalog["settings"]["unix_socket_directories"]["value"], "")


def test_no_unix_socket_redis(redis_settings: dict[str, str]) -> None:
    expect(redis_settings.get("unixsocket") or "", "")


def test_no_second_port_redis(redis_settings: dict[str, str]) -> None:
    expect(redis_settings.get("tls-port", "0"), "0")
    expect(redis_settings.get("cluster-enabled", "no"), "no")
