"""An engine on another machine, by ssh: everything goes through tunnels, and nothing there is published beyond loopback.

The other machine is this one, behind an sshd of the test alone: the way is real, the distance is not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.contract.conftest import DOCKER, standing
from tests.support import engine
from tests.support.live import SERVERS, LiveStack
from tests.support.quiet_ports import quiet_port
from tests.support.ssh_server import SshServer, ssh_server


@pytest.fixture(scope="module")
def there() -> Iterator[SshServer]:
    with ssh_server() as found:
        yield found


@pytest.fixture(scope="module")
def remote(workplace: Path, there: SshServer) -> Iterator[LiveStack]:
    """A stack on the engine that this machine only knows by ssh."""
    with standing(DOCKER, workplace) as clone:
        own = {**clone.config["circlepay:docker"], "host": there.url, "sshConfig": str(there.config)}
        clone.configure(docker=own)
        clone.up().expect()
        yield LiveStack(clone)


def test_a_second_up_changes_nothing_and_leaves_no_ssh(remote: LiveStack) -> None:
    assert set(remote.clone.up_counts()) == {"same"}
    assert [process for process in psutil.process_iter(["cmdline"]) if _is_tunnel(process, remote)] == []


def _is_tunnel(process: psutil.Process, remote: LiveStack) -> bool:
    words = process.info["cmdline"] or []
    return words[:1] == ["ssh"] and remote.clone.config["circlepay:docker"]["sshConfig"] in words


def test_the_env_file_says_where_the_servers_are_seen_from_their_own_machine(remote: LiveStack) -> None:
    text = remote.env_path.read_text()
    for server in SERVERS:
        assert f"@127.0.0.1:{remote.clone.config[f'circlepay:{server}']['port']}" in text
    remote.app_stub()


def test_nothing_is_published_beyond_loopback(remote: LiveStack) -> None:
    for server in SERVERS:
        bindings = engine.client().inspect_container(remote.outputs[server]["location"]["names"]["container"])[
            "NetworkSettings"
        ]["Ports"]
        addresses = [each["HostIp"] for several in bindings.values() for each in several or ()]
        assert addresses
        assert all(ipaddress.ip_address(address).is_loopback for address in addresses)


def test_what_was_done_by_hand_there_is_mended(remote: LiveStack) -> None:
    engine.client().stop(remote.outputs["redis"]["location"]["names"]["container"])
    with remote.as_superuser() as connection:
        connection.execute("DROP INDEX public.idx_users_phone")
    counts = remote.clone.up_counts()
    assert counts["update"] > 0, counts
    with remote.as_superuser() as connection:
        row = connection.execute("SELECT to_regclass('public.idx_users_phone') IS NOT NULL").fetchone()
    assert row == (True,)
    remote.app_stub()


@pytest.mark.parametrize("verb", ["verify", "status", "monitor"])
def test_day_two_verbs_go_through_the_tunnel(remote: LiveStack, verb: str) -> None:
    run = remote.clone.run("circlepay", verb, "--json", "--stack", remote.clone.stack)
    assert run.code == 0, run.output


def test_the_clients_go_through_the_tunnel(remote: LiveStack) -> None:
    run = remote.clone.run("circlepay", "redis-cli", "--stack", remote.clone.stack, "ping").expect()
    assert "PONG" in run.output
    query = ("psql", "--stack", remote.clone.stack, "--", "-Atc", "SELECT current_database()")
    assert "circlepay_db" in remote.clone.run("circlepay", *query).expect().output


def test_a_machine_that_is_not_there_is_told_and_nothing_is_lost(remote: LiveStack) -> None:
    before = remote.env_path.read_text()
    own = dict(remote.clone.config["circlepay:docker"])
    try:
        remote.clone.configure(docker={**own, "host": f"ssh://nobody@127.0.0.1:{quiet_port()}"})
        refused = remote.clone.up()
        assert refused.code != 0
        assert "efused" in refused.output
        assert remote.env_path.read_text() == before
    finally:
        remote.clone.configure(docker=own)
    # The state knows the engine of the last run, which is not there: a bare `up` is told to look for the declared one.
    remote.clone.up("--run-program").expect()
    assert set(remote.clone.up_counts()) == {"same"}
    assert remote.env_path.read_text() == before
