"""A minimal client of the Redis protocol: importing redis-py takes longer than all the reading that a run does with it.

https://redis.io/docs/latest/develop/reference/protocol-spec/, version 2 of it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from infra.endpoint import Endpoint

REFUSED_LOGIN = ("WRONGPASS", "NOAUTH", "ERR invalid password", "ERR AUTH")
"""Beginnings of the errors of a refused login; other errors (`ERR max number of clients`) say nothing about the password."""


@dataclass(frozen=True)
class Refusal:
    """An error reply, as a value: the other commands of the same round trip may have succeeded."""

    text: str

    @property
    def of_login(self) -> bool:
        """Whether the server refused the credentials."""
        return self.text.startswith(REFUSED_LOGIN)


Reply = str | Refusal | None | list["Reply"]


class RefusedError(Exception):
    """The server answered with an error; the text begins with its code (NOAUTH, WRONGPASS, NOPERM)."""


def ask(endpoint: Endpoint, *commands: tuple[str, ...], timeout: float) -> list[Reply]:
    """Sends all commands at once over a new connection; the replies in order.

    timeout: seconds for connecting and for each read. Raises OSError, and ValueError when the connection ends too early.
    """
    with socket.create_connection((endpoint.host, endpoint.port), timeout=timeout) as connection:
        connection.settimeout(timeout)
        with connection.makefile("rb") as stream:
            connection.sendall(b"".join(map(_encoded, commands)))
            return list(_replies(stream, len(commands)))


def answer(endpoint: Endpoint, *commands: tuple[str, ...], timeout: float) -> Any:
    """The reply to the last of the commands, when none was refused. Raises RefusedError, and what `ask` raises."""
    replies = ask(endpoint, *commands, timeout=timeout)
    for reply in replies:
        if isinstance(reply, Refusal):
            raise RefusedError(reply.text)
    return replies[-1]


def _replies(stream: BinaryIO, number: int) -> Iterator[Reply]:
    """As many replies as commands. After a refused login all are that refusal: the server may close the connection."""
    refused: Reply = None
    for _ in range(number):
        reply = refused or _reply(stream)
        refused = reply if isinstance(reply, Refusal) and reply.of_login else None
        yield reply


def pairs(reply: Reply) -> dict[str, Reply]:
    """A flat list of names and values as a mapping. Raises ValueError for any other reply."""
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
