"""A TCP proxy on loopback that counts how often a client had to wait for a server.

    client ──▶ proxy ──▶ server        every message is passed on unchanged, and looked at on its way

A *round trip* is everything a client sends without waiting for an answer in between, so a pipeline of ten statements is one.
What belongs to logging in is counted apart: it is the same whatever is read afterwards.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

CHUNK = 1 << 16
SECONDS = 10.0


class Kind(Enum):
    """What a client's message is for: to get in, to ask something, or to say that it goes, which nobody answers."""

    LOGIN = "login"
    QUESTION = "question"
    LEAVE = "leave"


def postgres_kind(message: bytes) -> Kind:
    """Startup messages carry no type (their first byte is of a length below 2^24); `p` answers a challenge, `X` leaves.

    https://www.postgresql.org/docs/current/protocol-message-formats.html
    """
    if message[:1] in (b"\0", b"p"):
        return Kind.LOGIN
    return Kind.LEAVE if message[:1] == b"X" else Kind.QUESTION


REDIS_LOGIN = frozenset({"AUTH", "HELLO", "CLIENT", "SELECT"})


def redis_kind(message: bytes) -> Kind:
    """A message asks when one of its commands does, even when it logs in with the same breath."""
    words = set(_first_words(message))
    if words <= REDIS_LOGIN:
        return Kind.LOGIN
    return Kind.LEAVE if words == {"QUIT"} else Kind.QUESTION


def _first_words(message: bytes) -> Iterator[str]:
    """The first word of each command: they come as `*N\\r\\n` and N times `$LENGTH\\r\\nWORD\\r\\n`."""
    rest = message
    while rest.startswith(b"*"):
        count, _, rest = rest[1:].partition(b"\r\n")
        for position in range(int(count)):
            length, _, rest = rest[1:].partition(b"\r\n")
            if position == 0:
                yield rest[: int(length)].decode("ascii", "replace").upper()
            rest = rest[int(length) + 2 :]


Classify = Callable[[bytes], Kind]


@dataclass
class Conversation:
    """One connection: round trips of its login, then the first bytes of each question."""

    login: int = 0
    questions: list[bytes] = field(default_factory=list)
    waiting: bool = False
    """The client has sent something, and the server has not answered since."""

    def note(self, message: bytes, kind_of: Classify) -> None:
        """The client has sent something; while it waits for an answer anyway, that is no new round trip."""
        if self.waiting:
            return
        self.waiting = True
        kind = kind_of(message)
        if kind is Kind.LOGIN:
            self.login += 1
        elif kind is Kind.QUESTION:
            self.questions.append(message[:200])


@dataclass
class Count:
    """What went over the proxy, connection by connection."""

    conversations: list[Conversation] = field(default_factory=list)

    @property
    def connections(self) -> int:
        """How often a client connected."""
        return len(self.conversations)

    @property
    def login(self) -> int:
        """Round trips that only logged in."""
        return sum(item.login for item in self.conversations)

    @property
    def round_trips(self) -> int:
        """Round trips that asked something."""
        return sum(len(item.questions) for item in self.conversations)

    def since(self, connections: int) -> Count:
        """What went over the connections after the first so many."""
        return Count(self.conversations[connections:])

    @property
    def questions(self) -> list[bytes]:
        """The beginning of each round trip, for messages about them."""
        return [question for item in self.conversations for question in item.questions]


@dataclass
class CountingProxy:
    """Where to connect instead of the server, and what was counted so far."""

    listener: socket.socket
    server_port: int
    kind_of: Classify
    count: Count = field(default_factory=Count)
    threads: list[threading.Thread] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port of loopback that stands for the server's."""
        return int(self.listener.getsockname()[1])

    def run(self, work: Callable[..., None], *arguments: object) -> None:
        """Does the work in a thread that `end` waits for."""
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self) -> None:
        """Takes connections until the listener is shut."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.server_port), SECONDS)
            conversation = Conversation()
            self.count.conversations.append(conversation)
            self.sockets += [client, server]
            self.run(self._relay, client, server, conversation)

    def _relay(self, client: socket.socket, server: socket.socket, conversation: Conversation) -> None:
        """Passes on what either side sends until one of them ends."""
        with client, server, suppress(OSError):
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    if source is client:
                        conversation.note(data, self.kind_of)
                        server.sendall(data)
                    else:
                        conversation.waiting = False
                        client.sendall(data)

    def end(self) -> None:
        """Shuts everything and waits for the threads: closing alone wakes nobody who waits for a socket."""
        for item in [self.listener, *self.sockets]:
            with suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(SECONDS)


@contextmanager
def counting_proxy(server_port: int, kind_of: Classify) -> Iterator[CountingProxy]:
    """A proxy of the loopback server at `server_port`, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = CountingProxy(listener, server_port, kind_of)
        proxy.run(proxy.accept)
        try:
            yield proxy
        finally:
            proxy.end()
