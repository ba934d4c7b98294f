"""Each server runs as an ordinary process of the right user, without secrets in its command line."""

from __future__ import annotations

import pytest

from infra.verification.checks.expectation import expect, expect_that
from infra.verification.checks.machine import Machine
from infra.verification.subject import Subject

PROGRAMS = {"postgres": ("postgres",), "redis": ("valkey-server", "redis-server")}
SERVERS = tuple(PROGRAMS)


@pytest.mark.parametrize("server", SERVERS)
def test_program(machine: Machine, server: str) -> None:
    expect_that(
        machine.processes[server].name in PROGRAMS[server],
        f"process {machine.processes[server].pid} is one of {', '.join(PROGRAMS[server])}",
        machine.processes[server].name,
        "another program listens on this stack's port: stop it, then run `make up`",
    )


@pytest.mark.parametrize("server", SERVERS)
def test_user(machine: Machine, subject: Subject, server: str) -> None:
    declared = subject.servers[server].location.user or machine.whoami
    expect(machine.processes[server].user, declared, "stop the server, then run `make up`")


@pytest.mark.parametrize("server", SERVERS)
def test_not_root(machine: Machine, server: str) -> None:
    expect_that(
        machine.processes[server].user != "root",
        "a user other than root",
        "root",
        "stop the server, then run `make up`",
    )


@pytest.mark.parametrize("server", SERVERS)
def test_command_names_its_place(machine: Machine, subject: Subject, server: str) -> None:
    placeholders = subject.servers[server].placeholders
    places = [placeholders["data"], placeholders["config"]]
    if server == "redis":
        # Redis may replace its command line by its address.
        places.append(f":{placeholders['port']}")
    command = " ".join(machine.processes[server].arguments)
    expect_that(any(place in command for place in places), f"the command line contains {' or '.join(places)}", command)


@pytest.mark.parametrize("server", SERVERS)
def test_command_without_secrets(machine: Machine, subject: Subject, server: str) -> None:
    command = " ".join(machine.processes[server].arguments)
    visible = [name for name, secret in subject.secrets().items() if secret and secret in command]
    expect(visible, [], "change the passwords named here: they were visible to every user of the machine")
