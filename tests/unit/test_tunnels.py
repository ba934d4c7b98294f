"""Tunnels: open once, shared, gone with their process, and clear where there is no way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra import tunnels
from infra.tunnels import TunnelError
from tests.support.live_servers import free_port
from tests.support.placements import wait_until
from tests.support.ssh_server import SshServer, ssh_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    with ssh_server() as found:
        yield found


@pytest.fixture
def via(server: SshServer) -> Iterator[str]:
    yield tunnels.with_configuration(server.url, str(server.config))
    tunnels.close()


@pytest.fixture
def service() -> Iterator[int]:
    """Something that says hello on a port of loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(20)

        def greet() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.sendall(b"hello")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(20)


def heard(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        return client.recv(5)


def ssh_processes() -> list[int]:
    return [child.pid for child in psutil.Process().children() if child.name() == "ssh"]


def test_only_this_module_sees_the_configuration() -> None:
    url = tunnels.with_configuration("ssh://deploy@db1.example.com:2222", "/etc/circle pay/ssh_config")
    assert tunnels.configuration(url) == ["-F", "/etc/circle pay/ssh_config"]
    assert tunnels.plain(url) == "ssh://deploy@db1.example.com:2222"
    for local in ("unix:///var/run/docker.sock", "ssh://deploy@db1.example.com"):
        assert tunnels.plain(local) == local
        assert tunnels.configuration(local) == []
    assert tunnels.with_configuration("unix:///var/run/docker.sock", "/x") == "unix:///var/run/docker.sock"


def test_without_a_machine_in_between_nothing_is_opened() -> None:
    assert str(tunnels.reach("127.0.0.1", 5432)) == "127.0.0.1:5432"
    assert ssh_processes() == []


def test_a_port_there_is_reached_and_told_by_its_own_name(via: str, server: SshServer, service: int) -> None:
    endpoint = tunnels.reach("127.0.0.1", service, via)
    assert heard(endpoint.port) == b"hello"
    assert endpoint.port != service
    assert str(endpoint) == f"127.0.0.1:{service} of {server.url}"


def test_the_same_way_is_opened_once(via: str, service: int) -> None:
    first = tunnels.reach("127.0.0.1", service, via)
    assert tunnels.reach("127.0.0.1", service, via) == first
    assert len(ssh_processes()) == 1


def test_a_way_that_was_cut_is_opened_again(via: str, service: int) -> None:
    tunnels.reach("127.0.0.1", service, via)
    (cut,) = ssh_processes()
    os.kill(cut, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(cut) or psutil.Process(cut).status() == psutil.STATUS_ZOMBIE, seconds=10)
    assert heard(tunnels.reach("127.0.0.1", service, via).port) == b"hello"


def test_a_socket_there_is_a_socket_here(via: str, tmp_path: Path) -> None:
    path = tmp_path / "there.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        here = tunnels.socket_of(via.replace("?", f"{path}?"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(here.removeprefix("unix://"))
        assert Path(here.removeprefix("unix://")).parent.stat().st_mode & 0o077 == 0


def test_closing_ends_them_and_leaves_nothing(via: str, service: int) -> None:
    tunnels.reach("127.0.0.1", service, via)
    tunnels.close()
    assert ssh_processes() == []


@pytest.mark.parametrize("ending", ["exit", "kill"])
def test_a_tunnel_ends_with_its_process_however_that_ends(via: str, service: int, ending: str) -> None:
    last = "sys.stdin.read()" if ending == "kill" else "pass"
    text = f"import sys; from infra.tunnels import reach; reach('127.0.0.1', {service}, {via!r}); print(1, flush=True); {last}"
    child = subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"1\n"
    ours = [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"127.0.0.1:{service}" in str(process.info["cmdline"])
    ]
    if ending == "kill":
        child.kill()
    child.wait(20)
    child.stdin.close()
    child.stdout.close()
    wait_until(lambda: not any(process.is_running() and process.name() == "ssh" for process in ours), seconds=20)


def test_nobody_there_is_told_with_the_command_to_try(server: SshServer) -> None:
    url = tunnels.with_configuration(f"ssh://nobody@127.0.0.1:{free_port()}", str(server.config))
    with pytest.raises(TunnelError, match=r"[Rr]efused") as caught:
        tunnels.reach("127.0.0.1", 5432, url)
    assert "ssh -o BatchMode=yes" in caught.value.hint
    assert "?config" not in caught.value.path


def test_a_refused_login_is_told(server: SshServer, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text(server.config.read_text().replace("user\n", "host\n"))
    with pytest.raises(TunnelError, match="Permission denied"):
        tunnels.reach("127.0.0.1", 5432, tunnels.with_configuration(server.url, str(config)))
    assert ssh_processes() == []


def test_an_unknown_host_is_not_trusted(server: SshServer, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text(server.config.read_text().replace("known_hosts\n", "nowhere\n"))
    with pytest.raises(TunnelError, match="Host key verification failed"):
        tunnels.reach("127.0.0.1", 5432, tunnels.with_configuration(server.url, str(config)))


@pytest.mark.parametrize("url", ["ssh://", "ssh://user:secret@127.0.0.1"])
def test_what_names_no_machine_is_refused(url: str) -> None:
    with pytest.raises(TunnelError, match="this is not ssh://") as caught:
        tunnels.reach("127.0.0.1", 5432, url)
    assert "secret" not in caught.value.message
