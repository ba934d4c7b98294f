"""How a server is reached, and with which credentials."""

from __future__ import annotations

from dataclasses import dataclass, field

SERVERS = ("postgres", "redis")
"""The servers of a stack, by the names that outputs, options and checks call them."""


@dataclass(frozen=True)
class Endpoint:
    """The address at which this process reaches a server.

    host: a name or an address. port: 1..65535. behind: for messages, the remote end of a tunnel; empty without one.
    """

    host: str
    port: int
    behind: str = ""

    def __str__(self) -> str:
        return self.behind or f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Login:
    """A server, and the credentials to log in with.

    user: the role or user name; empty for Redis without ACL users. password: kept out of `repr`.
    database: the database's name; empty where there is none.
    """

    endpoint: Endpoint
    user: str
    password: str = field(repr=False)
    database: str = ""
