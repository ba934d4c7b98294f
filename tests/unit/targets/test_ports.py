from __future__ import annotations

import os
import socket

import pytest

from infra.errors import TargetError
from infra.targets import ports
from infra.targets.ports import PortRequest
from tests.support.quiet_ports import quiet_port


def test_a_port_is_taken_while_somebody_listens_on_this_or_on_every_address() -> None:
    port = quiet_port()
    assert ports.is_free("127.0.0.1", port)
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.create_server((address, port)):
            assert not ports.is_free("127.0.0.1", port), address
    assert ports.is_free("127.0.0.1", port)


def test_connections_that_are_only_winding_down_do_not_take_a_port() -> None:
    port = quiet_port()
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)):
        server.accept()[0].close()  # the listening side closes first and keeps TIME_WAIT
    assert ports.is_free("127.0.0.1", port)


def test_localhost_means_all_its_addresses() -> None:
    port = quiet_port()
    assert ports.is_free("localhost", port)
    with socket.create_server(("127.0.0.1", port)):
        assert not ports.is_free("localhost", port)


def choose(
    documented: int,
    requested: int | None = None,
    kept: int | None = None,
    taken: dict[int, str] | None = None,
    *,
    local: bool = True,
) -> int:
    request = PortRequest("third", "127.0.0.1", requested, documented, local=local)
    return ports.choose(request, kept, taken or {})


def test_an_unset_port_is_the_documented_one_or_the_next_that_is_free() -> None:
    free = quiet_port()
    assert choose(free) == free
    with socket.create_server(("127.0.0.1", free)):
        assert choose(free) > free
        assert choose(free, taken={free + 1: "kept for somebody"}) > free + 1
        assert choose(free, local=False) == free
        with pytest.raises(TargetError, match="this port is taken by pid") as caught:
            choose(free, requested=free)
    assert "circlepay:third.port" in caught.value.hint


def test_a_port_is_kept_and_one_asked_for_is_taken() -> None:
    assert choose(quiet_port(), kept=12345) == 12345
    asked = quiet_port()
    assert choose(7007, requested=asked, kept=12345) == asked
    assert choose(7007, requested=12345, kept=12345, taken={12345: "this server's own"}) == 12345


def test_a_port_of_somebody_else_is_refused_in_their_words() -> None:
    port = quiet_port()
    with pytest.raises(TargetError, match="this port is reserved for qa"):
        choose(7007, requested=port, taken={port: "this port is reserved for qa"})


def test_no_port_at_all_is_an_error() -> None:
    with pytest.raises(TargetError, match="none of the 1000 ports starting at this one is free"):
        choose(65535, taken={65535: "taken"})


def test_a_name_that_means_nothing_is_an_error() -> None:
    with pytest.raises(socket.gaierror):
        ports.is_free("no.such.host.invalid", 80)


def test_the_listener_is_named() -> None:
    port = quiet_port()
    with socket.create_server(("127.0.0.1", port)):
        found = ports.listener(port)
        assert found.pid == os.getpid()
        assert str(found).startswith(f"pid {os.getpid()} (")
    assert str(ports.listener(port)) == "a process this user cannot see"
