"""Enough of the Redis protocol to ask by: importing a client takes longer than everything that is read with one in a run.

https://redis.io/docs/latest/develop/reference/protocol-spec/, version 2 of it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from infra.endpoint import Endpoint

REFUSED_LOGIN = ("WRONGPASS", "NOAUTH", "ERR invalid password", "ERR AUTH")
"""How the error of a refused login begins; every other error says nothing about the password (`ERR max number of clients`)."""


@dataclass(frozen=True)
class Refusal:
    """An error reply, as a value: the other commands of the same round trip may have succeeded."""

    text: str

    @property
    def of_login(self) -> bool:
        """Whether the credentials are what was refused."""
        return self.text.startswith(REFUSED_LOGIN)


Reply = str | Refusal | None | list["Reply"]


def ask(endpoint: Endpoint, *commands: tuple[str, ...], timeout: float) -> list[Reply]:
    """Sends all commands at once over a connection of their own; the replies in order.

    timeout: seconds for connecting and for each read. Raises OSError, and ValueError when the connection ends too early.
    """
    with socket.create_connection((endpoint.host, endpoint.port), timeout=timeout) as connection:
        connection.settimeout(timeout)
        with connection.makefile("rb") as stream:
            connection.sendall(b"".join(map(_encoded, commands)))
            return list(_replies(stream, len(commands)))


def _replies(stream: BinaryIO, number: int) -> Iterator[Reply]:
    """As many replies as commands. A refused login stands for all: a stranger who says more is cut off unanswered."""
    refused: Reply = None
    for _ in range(number):
        reply = refused or _reply(stream)
        refused = reply if isinstance(reply, Refusal) and reply.of_login else None
        yield reply


def pairs(reply: Reply) -> dict[str, Reply]:
    """A flat list of names and values as a mapping; raises ValueError for a reply of another kind."""
    if not isinstance(reply, list):
        raise ValueError(reply.text if isinstance(reply, Refusal) else f"unexpected reply {reply!r}")
    return {str(name): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def _encoded(words: tuple[str, ...]) -> bytes:
    encoded = [word.encode() for word in words]
    return b"".join([b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)])


def _reply(stream: BinaryIO) -> Reply:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ValueError("the connection was closed without an answer")
    kind, rest = line[:1], line[1:-2].decode(errors="replace")
    if kind == b"-":
        return Refusal(rest)
    if kind == b"*":
        return [_reply(stream) for _ in range(int(rest))]
    if kind != b"$":
        return rest
    if int(rest) < 0:
        return None
    content = stream.read(int(rest) + 2)
    if len(content) != int(rest) + 2:
        raise ValueError("the connection was closed in the middle of an answer")
    return content[:-2].decode(errors="replace")
