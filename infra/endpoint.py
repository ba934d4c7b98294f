"""How a server is reached, and with which credentials."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens, as seen by whoever holds this value.

    host: a name or an address. port: 1..65535. behind: in words, what a tunnel leads to; empty without one.
    """

    host: str
    port: int
    behind: str = ""

    def __str__(self) -> str:
        return self.behind or f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Login:
    """A server, and who to be there.

    user: the role or user name; empty for Redis without ACL users. password: kept out of `repr`.
    database: the database's name; empty where there is none.
    """

    endpoint: Endpoint
    user: str
    password: str = field(repr=False)
    database: str = ""
