"""Ways to servers and engines on another machine: `ssh -L`, for as long as the process that asked for one lives.

The other machine publishes nothing beyond its loopback for it. ssh is the user's own: its configuration, keys, agent and
known hosts decide, and it never asks anything.
"""

from __future__ import annotations

import atexit
import contextlib
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from infra.endpoint import Endpoint
from infra.errors import ServerError

SCHEME = "ssh"
DEFAULT_SOCKET = "/var/run/docker.sock"
PATIENCE = 30.0
"""Seconds until a way must be there."""
POLL = 0.02
OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "StreamLocalBindUnlink": "yes",
}
"""https://man.openbsd.org/ssh_config"""
FAMILIES = {True: socket.AF_UNIX, False: socket.AF_INET}


class TunnelError(ServerError):
    """There is no way to the other machine, so nobody knows what is there."""


@dataclass
class _Tunnel:
    """One ssh at work. here: where it listens on this machine, a path or `127.0.0.1:PORT`."""

    here: str
    process: subprocess.Popen[bytes]
    folder: tempfile.TemporaryDirectory[str] = field(repr=False)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.folder.cleanup()


_guard = threading.Lock()
_tunnels: dict[tuple[str, str], _Tunnel] = {}


def is_remote(url: str) -> bool:
    """Whether an engine's URL leads to another machine by ssh."""
    return urlsplit(url).scheme == SCHEME


def with_configuration(url: str, path: str) -> str:
    """The URL with the path of an ssh_config(5) to go by, for this module; nothing else understands that."""
    return f"{url}?config={quote(path)}" if path and is_remote(url) else url


def plain(url: str) -> str:
    """The URL as everybody else writes it."""
    return url.partition("?")[0] if is_remote(url) else url


def configuration(url: str) -> list[str]:
    """Arguments of ssh that make it go by the URL's own ssh_config(5), if it has one."""
    found = parse_qs(urlsplit(url).query).get("config", [])
    return ["-F", found[0]] if found else []


def reach(host: str, port: int, via: str = "") -> Endpoint:
    """Where this process reaches what listens there. via: `ssh://USER@HOST[:PORT]` of the machine it is seen from, or empty.

    Raises TunnelError when there is no way.
    """
    if not via:
        return Endpoint(host, port)
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    here = _open(via, shown)
    return Endpoint("127.0.0.1", int(here.rpartition(":")[2]), f"{shown} of {plain(via)}")


def socket_of(url: str) -> str:
    """A `unix://` URL of this machine for the engine of an `ssh://` one; its path, if any, is the socket there.

    Raises TunnelError when there is no way.
    """
    return f"unix://{_open(url, urlsplit(url).path or DEFAULT_SOCKET)}"


def close() -> None:
    """Ends every tunnel of this process."""
    with _guard:
        while _tunnels:
            _tunnels.popitem()[1].close()


atexit.register(close)


def _open(via: str, there: str) -> str:
    with _guard:
        found = _tunnels.get((via, there))
        if found is not None and found.alive:
            return found.here
        if found is not None:
            found.close()
        _tunnels[via, there] = made = _start(via, there)
        return made.here


def _start(via: str, there: str) -> _Tunnel:
    _refuse_nowhere(via)
    folder = tempfile.TemporaryDirectory(prefix="circlepay-ssh-")
    is_socket = there.startswith("/")
    here = f"{folder.name}/engine.sock" if is_socket else f"127.0.0.1:{_free_port()}"
    errors = Path(folder.name) / "errors"
    with errors.open("wb") as stream:
        # `cat` ends with its input, so that ssh ends with whoever holds the other side of that pipe, however that ends.
        process = subprocess.Popen(
            argv(via, f"{here}:{there}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )
    tunnel = _Tunnel(here, process, folder)
    try:
        _wait(tunnel, is_socket, via, errors)
    except BaseException:
        tunnel.close()
        raise
    return tunnel


def argv(via: str, forward: str) -> list[str]:
    """The ssh of one forward."""
    options = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-T", *options, *_destination(via, "-L", forward), "cat"]


def _refuse_nowhere(via: str) -> None:
    parts = urlsplit(via)
    if not parts.hostname or parts.password:
        # The URL itself is not told: it may hold a password.
        cause = "this is not ssh://USER@HOST[:PORT]"
        raise TunnelError("open a tunnel", "circlepay:docker.host", cause, "correct the setting")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(tunnel: _Tunnel, is_socket: bool, via: str, errors: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _listens(tunnel.here, is_socket):
        if not tunnel.alive or time.monotonic() > deadline:
            lines = [line.strip() for line in errors.read_text(errors="replace").splitlines() if line.strip()]
            cause = lines[-1] if lines else f"ssh ended with {tunnel.process.returncode}"
            hint = f"see that this works: ssh -o BatchMode=yes {' '.join(_destination(via))} true"
            raise TunnelError("open a tunnel", plain(via), cause, hint)
        time.sleep(POLL)


def _destination(via: str, *more: str) -> list[str]:
    parts = urlsplit(via)
    user = ["-l", parts.username] if parts.username else []
    port = ["-p", str(parts.port)] if parts.port else []
    return [*configuration(via), *user, *port, *more, "--", str(parts.hostname)]


def _listens(here: str, is_socket: bool) -> bool:
    address: str | tuple[str, int] = here if is_socket else ("127.0.0.1", int(here.rpartition(":")[2]))
    with contextlib.suppress(OSError), socket.socket(FAMILIES[is_socket]) as client:
        client.connect(address)
        return True
    return False
