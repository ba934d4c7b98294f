from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from infra.errors import TargetError
from infra.targets import ports
from infra.targets.ports import PortRequest
from tests.support.placements import AS_ROOT, PROJECT
from tests.support.quiet_ports import quiet_port

CHOOSER = """
import os, socket, sys
from infra.errors import TargetError
from infra.targets import ports
user, requested, documented = [int(word) for word in sys.argv[1:]]
socket.getaddrinfo("127.0.0.1", 1)  # loads what that user may not read
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
request = ports.PortRequest("third", "127.0.0.1", requested or None, documented, str(os.getpid()))
print("ready", flush=True)
sys.stdin.readline()
try:
    print(ports.choose(request, None, {}), flush=True)
except TargetError as error:
    print(error.cause, flush=True)
sys.stdin.readline()
"""
USERS = (0, 65534, 65533, 65532) if AS_ROOT else (0, 0, 0, 0)
"""Ids of users; 0: the one who runs the tests."""


@contextmanager
def chooser(user: int, documented: int, requested: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A run of that user, about to choose: each line it is given lets it go on."""
    argv = [sys.executable, "-c", CHOOSER, *map(str, (user, requested, documented))]
    with subprocess.Popen(argv, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert said(child) == "ready"
            yield child
        finally:
            child.kill()


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def go_on(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


@pytest.mark.parametrize("number", [2, 4])
def test_users_that_choose_at_the_same_moment_get_different_ports(number: int) -> None:
    with ExitStack() as stack:
        documented = quiet_port()
        children = [stack.enter_context(chooser(user, documented)) for user in USERS[:number]]
        for child in children:
            go_on(child)
        chosen = [int(said(child)) for child in children]
    assert len(set(chosen)) == number
    assert all(documented <= port < documented + 50 for port in chosen)


def test_a_port_that_another_run_has_claimed_is_said_so_and_free_once_that_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "CLAIM_SECONDS", 0.1)
    port = quiet_port()
    with chooser(USERS[1], 7007, requested=port) as other:
        go_on(other)
        assert said(other) == str(port)
        assert ports.is_free("127.0.0.1", port), "the server itself can still take it"
        with chooser(USERS[2], 7007, requested=port) as third:
            go_on(third)
            assert said(third) == ports.CLAIMED
        assert not ports.claim("own", "127.0.0.1", port)
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    assert ports.claim("own", "127.0.0.1", port)
    ports.release("own")


def test_one_claim_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CLAIM_SECONDS", 0)
    first, second = quiet_port(), quiet_port()
    assert ports.claim("one", "localhost", first, 0)
    assert ports.claim("one", "localhost", first, 0)
    assert not ports.claim("other", "127.0.0.1", first, 0)
    assert ports.claim("one", "127.0.0.1", second, 0)
    assert ports.claim("other", "0.0.0.0", first, 0)
    assert not ports.claim("third", "127.0.0.1", first, 0)
    for claimant in ("one", "other"):
        ports.release(claimant)
    assert ports.claim("third", "127.0.0.1", first, 0)
    ports.release("third")


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
    request = PortRequest("third", "127.0.0.1", requested, documented, "the test's", local=local)
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
