"""What the machine said, as the checks get it."""

from __future__ import annotations

import pytest

from infra.verification.checks.machine import Address, Entry, parse

LINES = [
    "whoami\troot",
    "process\tpostgres\t17\tcirclepay\tpostgres",
    "argument\tpostgres\t/usr/bin/postgres",
    "argument\tpostgres\t-D",
    "sockets\tpostgres\t101 102 103",
    "process\tredis\t18\tcirclepay\tvalkey-server",
    "status\tredis\tCapEff\t0000000000000000",
    "status\tredis\tSeccomp\t2",
    "program\tvalkey-server",
    "program\tsshd",
    "entry\t700\tcirclepay\tdirectory\t/srv/postgres",
    "listener\t0100007F:1538\t102",
    "listener\t00000000:0050\t999",
]


def test_each_process_has_its_own_sockets() -> None:
    machine = parse(LINES)
    assert machine.processes["postgres"].listening == {Address("127.0.0.1", 5432)}
    assert machine.processes["postgres"].arguments == ["/usr/bin/postgres", "-D"]
    assert machine.processes["redis"].sockets is None


def test_what_a_process_may_do_and_who_else_runs() -> None:
    machine = parse(LINES)
    assert machine.processes["redis"].status == {"CapEff": "0000000000000000", "Seccomp": "2"}
    assert machine.programs == ["valkey-server", "sshd"]


def test_a_process_with_hidden_sockets_is_known_by_its_port() -> None:
    machine = parse(LINES)
    assert machine.listening("postgres", 80) == {Address("127.0.0.1", 5432)}
    assert machine.listening("redis", 80) == {Address("0.0.0.0", 80)}


def test_entries_by_path() -> None:
    assert parse(LINES).entries == {"/srv/postgres": Entry("700", "circlepay", "directory", "/srv/postgres")}


@pytest.mark.parametrize(
    ("hexadecimal", "address"),
    [
        ("0100007F:1538", Address("127.0.0.1", 5432)),
        ("00000000:18EB", Address("0.0.0.0", 6379)),
        ("00000000000000000000000001000000:1538", Address("::1", 5432)),
        ("B80D0120000000000000000001000000:0050", Address("2001:db8::1", 80)),
    ],
)
def test_addresses_of_the_kernel(hexadecimal: str, address: Address) -> None:
    assert parse([f"listener\t{hexadecimal}\t1"]).listeners == {"1": address}
