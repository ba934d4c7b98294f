from __future__ import annotations

import os
import socket

import pytest

from infra.targets import ports
from tests.support.placements import free_port


def test_a_port_is_taken_while_somebody_listens_on_this_or_on_every_address():
    port = free_port()
    assert ports.is_free("127.0.0.1", port)
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.create_server((address, port)):
            assert not ports.is_free("127.0.0.1", port), address
    assert ports.is_free("127.0.0.1", port)


def test_connections_that_are_only_winding_down_do_not_take_a_port():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)):
        server.accept()[0].close()  # the listening side closes first and keeps TIME_WAIT
    assert ports.is_free("127.0.0.1", port)


def test_localhost_means_all_its_addresses():
    port = free_port()
    assert ports.is_free("localhost", port)
    with socket.create_server(("127.0.0.1", port)):
        assert not ports.is_free("localhost", port)


def test_the_next_free_port_skips_taken_and_reserved_ones():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        found = ports.next_free("127.0.0.1", port, {port + 1})
        assert found is not None
        assert found > port + 1
    assert ports.next_free("127.0.0.1", 65535, {65535}) is None


def test_a_name_that_means_nothing_is_an_error():
    with pytest.raises(socket.gaierror):
        ports.is_free("no.such.host.invalid", 80)


def test_the_listener_is_named():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        found = ports.listener(port)
        assert found.pid == os.getpid()
        assert str(found).startswith(f"pid {os.getpid()} (")
    assert str(ports.listener(port)) == "a process this user cannot see"
