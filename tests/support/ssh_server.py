"""An sshd of a test alone: on loopback, with keys of its own, for the user who runs the test."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.support.live_servers import ServerProgram, free_port, running

PROGRAMS = (Path("/usr/sbin/sshd"), Path("/usr/local/sbin/sshd"))


@dataclass(frozen=True)
class SshServer:
    """An sshd that listens. url: `ssh://` of it. config: an ssh_config with its key and known host."""

    url: str
    config: Path


@contextmanager
def ssh_server() -> Iterator[SshServer]:
    """An sshd for this user; skips where the program is absent."""
    program = next((path for path in PROGRAMS if path.exists()), None)
    if program is None or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh: as root, tools/prepare-ci-machine.sh")
    with tempfile.TemporaryDirectory(prefix="circlepay-test-ssh-") as name:
        folder, port = Path(name), free_port()
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        configuration = folder / "sshd_config"
        configuration.write_text(_server_configuration(folder, port))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # the distribution's sshd refuses to start without it
        config = folder / "ssh_config"
        config.write_text(_client_configuration(folder, port))
        argv = [program, "-D", "-e", "-f", configuration]
        with running(ServerProgram(argv, folder / "sshd.log", partial(_ask, port), prefix=())):
            yield SshServer(f"ssh://{getpass.getuser()}@127.0.0.1:{port}", config)


def _server_configuration(folder: Path, port: int) -> str:
    return "\n".join(
        [
            f"Port {port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {folder / 'host'}",
            f"AuthorizedKeysFile {folder / 'authorized_keys'}",
            "StrictModes no",  # the folder is below one that everybody may write
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "UsePAM no",
            f"PidFile {folder / 'pid'}",
            "",
        ]
    )


def _client_configuration(folder: Path, port: int) -> str:
    public = (folder / "host.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    return "\n".join(
        [
            "Host *",
            f"  IdentityFile {folder / 'user'}",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {folder / 'known_hosts'}",
            "  GlobalKnownHostsFile none",
            "  StrictHostKeyChecking yes",
            "",
        ]
    )


def _ask(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
