"""Nothing listens beyond the declared addresses."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from infra.verification import ServerPlace, Subject
from tests.acceptance.expectation import MismatchError, expect, expect_that
from tests.acceptance.machine import Address, Machine

SERVERS = ("postgres", "redis")


def _declared(place: ServerPlace) -> set[Address]:
    """Every address the declared name stands for, as the server sees it; `localhost` is often two."""
    host, port = place.all_places["host"], int(place.all_places["port"])
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return {Address(str(entry[4][0]), port) for entry in found}


@pytest.mark.parametrize("server", SERVERS)
def test_only_declared_addresses(machine: Machine, subject: Subject, server: str) -> None:
    place = subject.servers[server]
    host, port = place.all_places["host"], int(place.all_places["port"])
    observed = machine.listening(server, port)
    remedy = "take the other addresses out of its configuration and run `make up`"
    expect_that(bool(observed), f"listens on {host}:{port}", "no listening socket", remedy)
    undeclared = sorted(observed - _declared(place))
    if undeclared:
        raise MismatchError(sorted(_declared(place)), sorted(observed), remedy)


@pytest.mark.without_container
@pytest.mark.parametrize("server", SERVERS)
def test_only_loopback(machine: Machine, subject: Subject, server: str) -> None:
    observed = machine.listening(server, subject.servers[server].port)
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
