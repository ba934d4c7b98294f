"""TCP ports of this machine: whether one is free, who has it, which to take, and whose it is until a server listens there.

A port is claimed from the moment it is chosen until its server listens: by a UDP socket, bound to the same address and
port and never read. The kernel gives it to one process of the machine, whoever's it is and for whichever clone and
target, and takes it back when that process ends, however it ends. Nothing is written, so nothing can be left behind,
planted or forbidden; another user can keep a port by it only as by listening there. The TCP port itself stays free for
the server: trying a port means to listen on it for a moment, which is why it is claimed first.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.errors import TargetError

if TYPE_CHECKING:
    import psutil

TRIES = 1000
"""Ports looked at, from the documented one on, before giving up."""
CLAIM_SECONDS = 3.0
"""How long a port that is asked for may be claimed by another run: one that was killed ends a little later."""
POLL = 0.05
CLAIMED = "another run on this machine has claimed this port, and its server is about to listen there"

_claims: dict[str, tuple[int, list[int]]] = {}
"""Of this process: claimant -> the port, and the descriptors that hold it until they are closed or the process ends."""
_claiming = threading.Lock()


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

    claimant: the server, in a word that no other server of the machine has. local: the ports are this machine's and can
    be tried; of another machine only `taken` is known.
    """

    server: str
    host: str
    requested: int | None
    documented: int
    claimant: str
    local: bool = True


def choose(request: PortRequest, kept: int | None, taken: Mapping[int, str]) -> int:
    """The port requested, the one kept from before, or the next free one from the documented on; claimed unless it is kept.

    taken: ports of others -> the cause for messages. Raises TargetError when the one requested is taken, or none is free.
    """
    operation = f"place {request.server}"
    if request.requested is None:
        return kept or _next_free(operation, request, taken)
    if request.requested != kept and not _is_available(request, request.requested, taken, CLAIM_SECONDS):
        raise TargetError(
            operation,
            f"{request.host}:{request.requested}",
            taken.get(request.requested) or unavailable(request.host, request.requested),
            f"set circlepay:{request.server}.port to another port, or leave it out to take the next free one",
        )
    return request.requested


def _next_free(operation: str, request: PortRequest, taken: Mapping[int, str]) -> int:
    for port in range(request.documented, min(request.documented + TRIES, 65536)):
        if _is_available(request, port, taken):
            return port
    cause = f"none of the {TRIES} ports starting at this one is free"
    raise TargetError(operation, f"{request.host}:{request.documented}", cause)


def _is_available(request: PortRequest, port: int, taken: Mapping[int, str], patience: float = 0.0) -> bool:
    if port in taken:
        return False
    if not request.local:
        return True
    if not claim(request.claimant, request.host, port, patience):
        return False
    if is_free(request.host, port):
        return True
    release(request.claimant)
    return False


def unavailable(host: str, port: int) -> str:
    """Why a port that was not to be had is not, for messages."""
    return CLAIMED if is_free(host, port) else f"this port is taken by {listener(port)}"


def claim(claimant: str, host: str, port: int, patience: float | None = None) -> bool:
    """Claims the port until this process ends, and gives up what the claimant had before; False while others claim it.

    patience: seconds to wait for those, CLAIM_SECONDS by default. Raises OSError when the host name means nothing on this
    machine.
    """
    deadline = time.monotonic() + (CLAIM_SECONDS if patience is None else patience)
    while not (claimed := _claimed(claimant, host, port)) and time.monotonic() < deadline:
        time.sleep(POLL)
    return claimed


def _claimed(claimant: str, host: str, port: int) -> bool:
    with _claiming:
        before, bound = _claims.get(claimant, (0, []))
        if before == port:
            return True
        _end(bound)
        _claims.pop(claimant, None)
        found = _bound(host, port)
        if found is not None:
            _claims[claimant] = port, found
        return found is not None


def release(claimant: str) -> None:
    """Gives up what the claimant has claimed, if anything."""
    with _claiming:
        _end(_claims.pop(claimant, (0, []))[1])


def _bound(host: str, port: int) -> list[int] | None:
    """What claims the port on every address of the host that this machine has; None where others have one of them."""
    bound: list[int] = []
    for family, address in dict.fromkeys(_addresses(host, port)):
        try:
            bound.append(_bound_socket(family, address))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                _end(bound)
                return None
    return bound


def _bound_socket(family: socket.AddressFamily, address: tuple[str, int]) -> int:
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made.detach()


def _end(bound: list[int]) -> None:
    for descriptor in bound:
        os.close(descriptor)


def listens(pid: int, port: int) -> bool:
    """Whether that process, or one that it started, listens on the port; also where this user may not know."""
    import psutil

    try:
        process = psutil.Process(pid)
        return _has(process, port) or any(_has(child, port) for child in process.children(recursive=True))
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, OSError):
        return True


def _has(process: psutil.Process, port: int) -> bool:
    import psutil

    connections = process.net_connections(kind="tcp")
    return any(each.status == psutil.CONN_LISTEN and each.laddr[1:2] == (port,) for each in connections)


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
