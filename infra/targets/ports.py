"""TCP ports of this machine: whether one is free, who has it, which to take."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from dataclasses import dataclass

TRIES = 1000
"""Ports looked at, from the documented one on, before giving up."""


@dataclass(frozen=True)
class Listener:
    """A process that listens. pid and name are None and empty when the system will not tell this user."""

    pid: int | None
    name: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.name})" if self.pid else "a process this user cannot see"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now, on every address the host name stands for.

    Raises OSError when the host name means nothing on this machine.
    """
    return all(_can_listen(family, address) for family, address in _addresses(host, port))


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(entry[0], (str(entry[4][0]), port)) for entry in found]


def _can_listen(family: socket.AddressFamily, address: tuple[str, int]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(address)
            server.listen(1)
    except OSError as error:
        # A host name may stand for an address this machine does not have; the servers skip it too.
        return error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def next_free(host: str, first: int, reserved: Collection[int]) -> int | None:
    """The first port from `first` on that is free and not reserved, None when none of the next thousand is."""
    for port in range(first, min(first + TRIES, 65536)):
        if port not in reserved and is_free(host, port):
            return port
    return None


def listener(port: int) -> Listener:
    """Who listens on the port, as far as this user may know."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.AccessDenied, OSError):
        return Listener(None, "")
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
            try:
                return Listener(connection.pid, psutil.Process(connection.pid).name())
            except psutil.Error:
                break
    return Listener(None, "")
