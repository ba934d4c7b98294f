"""TCP ports of this machine: whether one is free, who has it, which to take."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from infra.errors import TargetError

TRIES = 1000
"""Ports looked at, from the documented one on, before giving up."""


@dataclass(frozen=True)
class Listener:
    """A process that listens. pid and name are None and empty when the system does not show them to this user."""

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


@dataclass(frozen=True)
class PortRequest:
    """Where a server is to be reached. requested: the port that is set; None: the documented or the next free one.

    local: the ports are this machine's and can be tried; of another machine only `taken` is known.
    """

    server: str
    host: str
    requested: int | None
    documented: int
    local: bool = True


def choose(request: PortRequest, kept: int | None, taken: Mapping[int, str]) -> int:
    """The port requested, the one kept from before, or the next free one from the documented on.

    taken: ports of others -> the cause for messages. Raises TargetError when the one requested is taken, or none is free.
    """
    operation = f"place {request.server}"
    if request.requested is None:
        return kept or _next_free(operation, request, taken)
    if request.requested != kept and not _is_available(request, request.requested, taken):
        raise TargetError(
            operation,
            f"{request.host}:{request.requested}",
            taken.get(request.requested) or f"this port is taken by {listener(request.requested)}",
            f"set circlepay:{request.server}.port to another port, or leave it out to take the next free one",
        )
    return request.requested


def _next_free(operation: str, request: PortRequest, taken: Mapping[int, str]) -> int:
    for port in range(request.documented, min(request.documented + TRIES, 65536)):
        if _is_available(request, port, taken):
            return port
    cause = f"none of the {TRIES} ports starting at this one is free"
    raise TargetError(operation, f"{request.host}:{request.documented}", cause)


def _is_available(request: PortRequest, port: int, taken: Mapping[int, str]) -> bool:
    return port not in taken and (not request.local or is_free(request.host, port))


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
