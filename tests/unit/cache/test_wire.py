"""The protocol, against replies as Redis writes them; parameters and probe are tested against real servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.cache.wire import Refusal, RefusedError, Reply, answer, ask, pairs
from infra.endpoint import Endpoint


@contextmanager
def answering(replies: bytes) -> Iterator[tuple[Endpoint, list[bytes]]]:
    """A server that takes one connection, reads once, sends the bytes and closes."""
    heard: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(1 << 16))
            connection.sendall(replies)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Endpoint("127.0.0.1", listener.getsockname()[1]), heard
        thread.join(10)


@pytest.mark.parametrize(
    ("written", "reply"),
    [
        (b"+OK\r\n", "OK"),
        (b":42\r\n", "42"),
        (b"$-1\r\n", None),
        (b"$7\r\na\r\nb \xc3\xa9\r\n", "a\r\nb é"),
        (b"*0\r\n", []),
        (b"*2\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n", ["flags", ["on"]]),
        (b"-WRONGPASS invalid username-password pair\r\n", Refusal("WRONGPASS invalid username-password pair")),
    ],
)
def test_replies_of_each_kind(written: bytes, reply: Reply) -> None:
    with answering(written) as (endpoint, _):
        assert ask(endpoint, ("PING",), timeout=10) == [reply]


def test_commands_leave_together_and_are_counted_in_bytes() -> None:
    with answering(b"+OK\r\n+PONG\r\n") as (endpoint, heard):
        assert ask(endpoint, ("AUTH", "é\r\n"), ("PING",), timeout=10) == ["OK", "PONG"]
    assert heard == [b"*2\r\n$4\r\nAUTH\r\n$4\r\n\xc3\xa9\r\n\r\n*1\r\n$4\r\nPING\r\n"]


def test_an_answer_is_the_last_reply_unless_one_was_refused() -> None:
    with answering(b"+OK\r\n+PONG\r\n") as (endpoint, _):
        assert answer(endpoint, ("AUTH", "p"), ("PING",), timeout=10) == "PONG"
    with answering(b"-NOPERM no\r\n+PONG\r\n") as (endpoint, _), pytest.raises(RefusedError, match="NOPERM no"):
        answer(endpoint, ("AUTH", "p"), ("PING",), timeout=10)


@pytest.mark.parametrize("written", [b"", b"+OK", b"$10\r\nshort", b"*2\r\n+one\r\n"])
def test_a_connection_that_ends_too_early_is_an_error(written: bytes) -> None:
    with answering(written) as (endpoint, _), pytest.raises(ValueError, match="closed"):
        ask(endpoint, ("PING",), timeout=10)


@pytest.mark.parametrize(
    ("text", "of_login"),
    [
        ("WRONGPASS invalid username-password pair or user is disabled.", True),
        ("NOAUTH Authentication required.", True),
        ("ERR AUTH <password> called without any password configured for the default user.", True),
        ("ERR max number of clients reached", False),
        ("LOADING Redis is loading the dataset in memory", False),
    ],
)
def test_only_refused_credentials_are_a_refused_login(text: str, of_login: bool) -> None:
    assert Refusal(text).of_login is of_login


def test_pairs_say_what_came_instead_of_them() -> None:
    assert pairs(["port", "6379", "save", ""]) == {"port": "6379", "save": ""}
    with pytest.raises(ValueError, match="LOADING"):
        pairs(Refusal("LOADING"))
    with pytest.raises(ValueError, match="unexpected"):
        pairs("OK")
