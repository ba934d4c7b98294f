"""The servers listen on the declared addresses only."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from infra.endpoint import SERVERS
from infra.verification.checks.expectation import MismatchError, expect, expect_that
from infra.verification.checks.machine import Address, Machine
from infra.verification.subject import ServerSubject, Subject


def _declared(place: ServerSubject) -> set[Address]:
    """Every address of the declared name, as the server sees it; `localhost` often has two."""
    host, port = place.placeholders["host"], int(place.placeholders["port"])
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return {Address(str(entry[4][0]), port) for entry in found}


@pytest.mark.parametrize("server", SERVERS)
def test_only_declared_addresses(machine: Machine, subject: Subject, server: str) -> None:
    place = subject.servers[server]
    host, port = place.placeholders["host"], int(place.placeholders["port"])
    observed = machine.listening(server, port)
    remedy = "remove the other addresses from its configuration and run `make up`"
    expect_that(bool(observed), f"listens on {host}:{port}", "no listening socket", remedy)
    undeclared = sorted(observed - _declared(place))
    if undeclared:
        raise MismatchError(sorted(_declared(place)), sorted(observed), remedy)


@pytest.mark.on_shared_machine
@pytest.mark.parametrize("server", SERVERS)
def test_only_loopback(machine: Machine, subject: Subject, server: str) -> None:
    observed = machine.listening(server, subject.servers[server].port)
    outside = [each.ip for each in observed if not ipaddress.ip_address(each.ip).is_loopback]
    expect(outside, [], "other machines must not reach the server: set its address to 127.0.0.1, then run `make up`")


def test_no_unix_socket_postgres(catalog: dict[str, Any]) -> None:
    expect(catalog["settings"]["unix_socket_directories"]["value"], "")


def test_no_unix_socket_redis(redis_settings: dict[str, str]) -> None:
    expect(redis_settings.get("unixsocket") or "", "")


def test_no_second_port_redis(redis_settings: dict[str, str]) -> None:
    expect(redis_settings.get("tls-port", "0"), "0")
    expect(redis_settings.get("cluster-enabled", "no"), "no")
