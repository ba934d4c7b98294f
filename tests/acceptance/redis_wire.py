"""The Redis protocol, as little of it as the checks need.

redis-py would do, but it takes longer to import (0.5 s) than the whole suite takes to run; and here the server's own
words for a refusal are what is checked.
"""

from __future__ import annotations

import socket
from typing import Any, Self

TIMEOUT = 5.0
"""Seconds for connecting and for each answer."""


class RefusedError(Exception):
    """The server answered with an error; the text starts with its code (NOAUTH, WRONGPASS, NOPERM)."""


class Conversation:
    """One connection that sends commands and reads answers."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT)
        self._stream = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def ask(self, *words: str) -> Any:
        """The answer to one command: text, number, list or None. Raises RefusedError or OSError."""
        encoded = [word.encode() for word in words]
        lines = [b"*%d\r\n" % len(encoded)]
        lines += [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        self._socket.sendall(b"".join(lines))
        return self._answer()

    def _answer(self) -> Any:
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise RefusedError(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._stream.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        return rest
