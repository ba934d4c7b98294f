"""SSH tunnels (`ssh -L`) to servers and engines on another machine, open for as long as the calling process lives.

The other machine publishes nothing beyond its loopback. The user's own ssh is used with its configuration, keys, agent
and known hosts; it never prompts.
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
OPEN_TIMEOUT = 30.0
"""Seconds until a tunnel must be open."""
POLL_INTERVAL = 0.02
"""Seconds."""
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
    """The other machine cannot be reached by ssh, so the state of everything on it is unknown."""


@dataclass
class _Tunnel:
    """One running ssh. local: where it listens on this machine, a path or `127.0.0.1:PORT`."""

    local: str
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
    """Whether an engine's URL points to another machine by ssh."""
    return urlsplit(url).scheme == SCHEME


def with_configuration(url: str, path: str) -> str:
    """The URL with the path of an ssh_config(5) file to use; only this module understands that form."""
    return f"{url}?config={quote(path)}" if path and is_remote(url) else url


def plain(url: str) -> str:
    """The URL without what with_configuration added, for other programs."""
    return url.partition("?")[0] if is_remote(url) else url


def configuration(url: str) -> list[str]:
    """Arguments that make ssh use the URL's own ssh_config(5) file, if it has one."""
    found = parse_qs(urlsplit(url).query).get("config", [])
    return ["-F", found[0]] if found else []


def reach(host: str, port: int, via: str = "") -> Endpoint:
    """Where this process reaches host and port as seen from the machine of `via` (`ssh://USER@HOST[:PORT]`, or empty).

    Raises TunnelError when no tunnel can be opened.
    """
    if not via:
        return Endpoint(host, port)
    remote = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    local = _open(via, remote)
    return Endpoint("127.0.0.1", int(local.rpartition(":")[2]), f"{remote} of {plain(via)}")


def socket_of(url: str) -> str:
    """A `unix://` URL on this machine for the engine of an `ssh://` URL, whose path, if any, is the socket there.

    Raises TunnelError when no tunnel can be opened.
    """
    return f"unix://{_open(url, urlsplit(url).path or DEFAULT_SOCKET)}"


def close() -> None:
    """Ends every tunnel of this process."""
    with _guard:
        while _tunnels:
            _tunnels.popitem()[1].close()


atexit.register(close)


def _open(via: str, remote: str) -> str:
    with _guard:
        found = _tunnels.get((via, remote))
        if found is not None and found.alive:
            return found.local
        if found is not None:
            found.close()
        _tunnels[via, remote] = started = _start(via, remote)
        return started.local


def _start(via: str, remote: str) -> _Tunnel:
    _check_destination(via)
    folder = tempfile.TemporaryDirectory(prefix="circlepay-ssh-")
    is_socket = remote.startswith("/")
    local = f"{folder.name}/engine.sock" if is_socket else f"127.0.0.1:{_free_port()}"
    errors = Path(folder.name) / "errors"
    with errors.open("wb") as stream:
        # `cat` ends at the end of its input, so ssh ends when this process does, even if it is killed.
        process = subprocess.Popen(
            argv(via, f"{local}:{remote}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )
    tunnel = _Tunnel(local, process, folder)
    try:
        _wait(tunnel, is_socket, via, errors)
    except BaseException:
        tunnel.close()
        raise
    return tunnel


def argv(via: str, forward: str) -> list[str]:
    """The ssh command line of one forward (`LOCAL:REMOTE`)."""
    options = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-T", *options, *_destination(via, "-L", forward), "cat"]


def _check_destination(via: str) -> None:
    parts = urlsplit(via)
    if not parts.hostname or parts.password:
        # The message leaves the URL out: it may hold a password.
        cause = "this is not ssh://USER@HOST[:PORT]"
        raise TunnelError("open a tunnel", "circlepay:docker.host", cause, "correct the setting")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(tunnel: _Tunnel, is_socket: bool, via: str, errors: Path) -> None:
    deadline = time.monotonic() + OPEN_TIMEOUT
    while not _listens(tunnel.local, is_socket):
        if not tunnel.alive or time.monotonic() > deadline:
            lines = [line.strip() for line in errors.read_text(errors="replace").splitlines() if line.strip()]
            cause = lines[-1] if lines else f"ssh ended with {tunnel.process.returncode}"
            hint = f"check that this command works: ssh -o BatchMode=yes {' '.join(_destination(via))} true"
            raise TunnelError("open a tunnel", plain(via), cause, hint)
        time.sleep(POLL_INTERVAL)


def _destination(via: str, *more: str) -> list[str]:
    parts = urlsplit(via)
    user = ["-l", parts.username] if parts.username else []
    port = ["-p", str(parts.port)] if parts.port else []
    return [*configuration(via), *user, *port, *more, "--", str(parts.hostname)]


def _listens(local: str, is_socket: bool) -> bool:
    address: str | tuple[str, int] = local if is_socket else ("127.0.0.1", int(local.rpartition(":")[2]))
    with contextlib.suppress(OSError), socket.socket(FAMILIES[is_socket]) as client:
        client.connect(address)
        return True
    return False
