"""Redis settings against running servers: Valkey from its wheel and Debian's Redis, every drift found and mended."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.cache.connection import connect
from infra.cache.parameters import (
    ALL,
    AUTHENTICATION,
    FOLLOWED,
    OPEN,
    OTHER_USERS,
    PERMISSIONS,
    REQUIRED,
    RESTART_ONLY,
    SEVERAL,
    declared,
    needs_restart,
    normalised,
    plan,
    read,
    run,
)
from infra.changes import Effect
from infra.endpoint import Endpoint, Login
from infra.errors import CacheError
from infra.settings.loading import parse
from infra.settings.model import RedisSettings
from tests.support import cache_attacks, live_servers

CLOSED = {AUTHENTICATION: REQUIRED, PERMISSIONS: ALL, OTHER_USERS: "", FOLLOWED: ""}
PASSWORD = "p@ss \"w'ord\\ $x-0123456789"
DOCUMENTED = {
    "port": "{port}",
    "bind": "{host}",
    "timeout": "0",
    "tcp-keepalive": "300",
    "maxmemory": "268435456",
    "maxmemory-policy": "allkeys-lru",
    "save": "900 1 300 10 60 10000",
    "loglevel": "notice",
    "logfile": "{logs}/redis-server.log",
}


def debian_program(_: Path) -> Path | None:
    found = shutil.which("redis-server", path="/usr/bin")
    return Path(found) if found else None


def client_of(port: int, password: str | None) -> redis.Redis:
    """A client that tries once: a refused password does not get better."""
    return redis.Redis(port=port, password=password, decode_responses=True, retry=Retry(NoBackoff(), 0))


class Server:
    """A server of the tests, its address, and what is declared for it."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.port = live_servers.free_port()
        self.login = Login(Endpoint("127.0.0.1", self.port), "", PASSWORD)
        self.declared = {
            **declared(RedisSettings()),
            "port": str(self.port),
            "bind": "127.0.0.1",
            "logfile": str(folder / "redis.log"),
        }
        quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
        lines = [f"{name} {value}" for name, value in self.declared.items()]
        self.configuration = folder / "redis.conf"
        self.configuration.write_text("\n".join([*lines, f'requirepass "{quoted}"', f"dir {folder}", ""]))
        argv = (program, self.configuration)
        self.process = live_servers.ServerProgram(argv, folder / "start.log", lambda: self.execute("PING"))

    def execute(self, *words: str) -> Any:
        """Somebody at the server's console."""
        with client_of(self.port, PASSWORD) as client:
            return client.execute_command(*words)

    def observed(self) -> dict[str, str] | None:
        return read(self.login, self.declared)

    def mend(self) -> list[str]:
        with connect(self.login) as client:
            changes = plan(read(self.login, self.declared), self.declared)
            run(client, changes)
        return [change.subject for change in changes]


@pytest.fixture(
    scope="module", params=[live_servers.cache_program, debian_program], ids=["valkey-wheel", "debian-redis"]
)
def running(request: pytest.FixtureRequest) -> Iterator[Server]:
    find: Callable[[Path], Path | None] = request.param
    with live_servers.server_folder("redis") as folder:
        program = find(folder)
        if program is None:
            pytest.skip(f"{request.node.callspec.id}: this machine has no such program")
        server = Server(program, folder)
        with live_servers.running(server.process):
            yield server


@pytest.fixture
def server(running: Server) -> Server:
    """The server as declared, whatever an earlier test left behind."""
    assert plan(running.observed(), running.declared) == []
    return running


def test_no_attack_reaches_beyond_the_server(server: Server) -> None:
    with client_of(server.port, PASSWORD) as client:
        assert cache_attacks.succeeded(client) == []


def test_declared_is_the_document() -> None:
    assert declared(RedisSettings()) == DOCUMENTED


def test_every_setting_but_the_password_is_declared() -> None:
    names = {field.alias or "" for field in RedisSettings.model_fields.values()} - {"password"}
    assert {name.replace("-", "").casefold() for name in DOCUMENTED} == {name.casefold() for name in names}


def test_declared_follows_the_settings() -> None:
    raw = {"maxmemory": "1gb", "save": [], "logfile": "/var/log/redis/redis-server.log", "timeout": "30"}
    values = declared(parse("local", {"redis": raw}).redis)
    assert (values["maxmemory"], values["save"], values["timeout"]) == ("1073741824", "", "30")
    assert values["logfile"] == "/var/log/redis/redis-server.log"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("maxmemory", "256MB", "268435456"),
        ("save", '""', ""),
        ("save", "900 1  300 10", "900 1 300 10"),
        ("bind", "127.0.0.1   ::1", "127.0.0.1 ::1"),
        ("logfile", "/a  b", "/a  b"),
    ],
)
def test_one_spelling(name: str, value: str, expected: str) -> None:
    assert normalised(name, value) == expected
    assert normalised(name, expected) == expected


@given(st.fixed_dictionaries({name: st.just(value) for name, value in DOCUMENTED.items()}))
def test_nothing_differs_nothing_changes(observed: dict[str, str]) -> None:
    assert plan({**observed, AUTHENTICATION: REQUIRED}, DOCUMENTED) == []


@given(st.sampled_from(sorted(DOCUMENTED)), st.integers(0, 10**6))
def test_whatever_differs_is_one_change_that_says_both_values(name: str, number: int) -> None:
    other = str(number) if name != "maxmemory" else str(number + 268435457)
    if other == DOCUMENTED[name]:
        return
    changes = plan({**DOCUMENTED, name: other, AUTHENTICATION: REQUIRED}, DOCUMENTED)
    assert [change.subject for change in changes] == [f"redis {name}"]
    assert changes[0].reason == f"is {other}, declared is {DOCUMENTED[name]}"
    assert (changes[0].effect is Effect.RESTART) == (name in RESTART_ONLY)
    assert bool(changes[0].command) == (name not in RESTART_ONLY)


def test_a_setting_the_server_does_not_know_differs() -> None:
    observed = {name: value for name, value in DOCUMENTED.items() if name != "save"}
    assert [change.reason for change in plan(observed, DOCUMENTED)] == [f"is empty, declared is {DOCUMENTED['save']}"]


@pytest.mark.parametrize(
    ("before", "policy", "reversible"),
    [
        ("0", "allkeys-lru", False),
        ("536870912", "allkeys-lru", False),
        ("1048576", "allkeys-lru", True),
        ("0", "noeviction", True),
    ],
)
def test_a_lower_memory_limit_cannot_be_taken_back(before: str, policy: str, reversible: bool) -> None:
    wanted = {"maxmemory": "268435456", "maxmemory-policy": policy}
    (change,) = plan({**wanted, "maxmemory": before}, wanted)
    assert change.reversible is reversible


def test_the_memory_limit_comes_after_its_policy() -> None:
    observed = {"maxmemory": "0", "maxmemory-policy": "noeviction", "timeout": "5"}
    wanted = {name: DOCUMENTED[name] for name in observed}
    assert [change.subject for change in plan(observed, wanted)][-1] == "redis maxmemory"


def test_password_never_shows() -> None:
    for state in (None, {AUTHENTICATION: OPEN}, {AUTHENTICATION: SEVERAL}):
        for change in plan(state, {}):
            assert PASSWORD not in str(change)


def test_as_started_nothing_differs(server: Server) -> None:
    observed = server.observed()
    assert observed == {**server.declared, **CLOSED}
    assert server.mend() == []


def test_only_declared_names_are_read(server: Server) -> None:
    assert set(read(server.login, ["timeout"]) or {}) == {"timeout", *CLOSED}


def test_one_round_trip(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted at the socket: everything leaves at once, logging in included."""
    sent: list[bytes] = []
    original = socket.socket.sendall

    def counted(self: socket.socket, data: bytes) -> None:
        sent.append(data)
        original(self, data)

    monkeypatch.setattr(socket.socket, "sendall", counted)
    read(server.login, server.declared)
    assert len(sent) == 1


DRIFTS = {
    "timeout": "17",
    "tcp-keepalive": "60",
    "maxmemory": "536870912",
    "maxmemory-policy": "noeviction",
    "save": "",
    "loglevel": "warning",
    "bind": "127.0.0.1 -::1",
}


@pytest.mark.parametrize(("name", "value"), DRIFTS.items(), ids=DRIFTS)
def test_config_set_by_hand_is_found_and_mended_live(server: Server, name: str, value: str) -> None:
    started = server.execute("INFO", "server")["process_id"]
    server.execute("CONFIG", "SET", name, value)
    assert server.mend() == [f"redis {name}"]
    assert server.mend() == []
    assert server.execute("INFO", "server")["process_id"] == started


def test_every_live_setting_has_a_drift() -> None:
    assert set(DRIFTS) == set(DOCUMENTED) - RESTART_ONLY


def test_several_at_once(server: Server) -> None:
    for name, value in DRIFTS.items():
        server.execute("CONFIG", "SET", name, value)
    assert set(server.mend()) == {f"redis {name}" for name in DRIFTS}
    assert server.mend() == []


def test_settings_nobody_declared_are_left_alone(server: Server) -> None:
    server.execute("CONFIG", "SET", "hz", "50")
    assert server.mend() == []
    assert server.execute("CONFIG", "GET", "hz") == {"hz": "50"}


def test_the_file_is_never_rewritten(server: Server) -> None:
    before = server.configuration.read_bytes()
    server.execute("CONFIG", "SET", "timeout", "9")
    server.mend()
    assert server.configuration.read_bytes() == before


def test_logfile_really_needs_a_restart(server: Server) -> None:
    with pytest.raises(redis.ResponseError, match="immutable"):
        server.execute("CONFIG", "SET", "logfile", "/dev/null")
    changes = plan(server.observed(), {**server.declared, "logfile": "/elsewhere"})
    assert [(change.subject, change.effect) for change in changes] == [("redis logfile", Effect.RESTART)]
    assert needs_restart(changes)
    with connect(server.login) as client:
        run(client, changes)
    assert server.observed() == {**server.declared, **CLOSED}


@pytest.mark.parametrize(
    ("by_hand", "state"),
    [
        (("CONFIG", "SET", "requirepass", ""), OPEN),
        (("ACL", "SETUSER", "default", "nopass"), OPEN),
        (("ACL", "SETUSER", "default", ">another-password"), SEVERAL),
    ],
    ids=["emptied", "nopass", "second"],
)
def test_a_server_that_lets_others_in_is_closed_again(server: Server, by_hand: tuple[str, ...], state: str) -> None:
    server.execute(*by_hand)
    assert (server.observed() or {})[AUTHENTICATION] == state
    assert server.mend() == [f"redis {AUTHENTICATION}"]
    assert server.mend() == []
    for password in ("", "another-password", "anything"):
        with (
            client_of(server.port, password or None) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()


@pytest.mark.parametrize(
    ("by_hand", "subject"),
    [
        (("ACL", "SETUSER", "evil", "on", "nopass", "~*", "+@all"), "redis user evil"),
        (("ACL", "SETUSER", "default", "-@dangerous", "+config", "+acl", "+client", "+info"), "redis user default"),
        (("ACL", "SETUSER", "default", "resetkeys", "~own:*"), "redis user default"),
        (("ACL", "SETUSER", "default", "resetchannels"), "redis user default"),
        (("ACL", "SETUSER", "default", "resetkeys", "(+get ~own:*)"), "redis user default"),
        (("REPLICAOF", "127.0.0.1", "1"), "redis replication"),
    ],
    ids=["another user", "fewer commands", "fewer keys", "fewer channels", "a selector", "another server"],
)
def test_users_and_permissions_made_by_hand_are_put_back_live(
    server: Server, by_hand: tuple[str, ...], subject: str
) -> None:
    server.execute(*by_hand)
    assert server.mend() == [subject]
    assert server.observed() == {**server.declared, **CLOSED}
    assert server.mend() == []


def test_a_password_changed_by_hand_asks_for_a_restart(server: Server) -> None:
    server.execute("CONFIG", "SET", "requirepass", "changed-by-hand")
    try:
        assert server.observed() is None
        changes = plan(server.observed(), server.declared)
        assert [(change.action, change.effect) for change in changes] == [("restart", Effect.RESTART)]
        with connect(server.login) as client:
            run(client, changes)
    finally:
        with client_of(server.port, "changed-by-hand") as client:
            client.config_set("requirepass", PASSWORD)


def test_all_or_nothing(server: Server) -> None:
    wanted = {**server.declared, "timeout": "3", "maxmemory-policy": "no-such-policy"}
    with connect(server.login) as client:
        changes = plan(read(server.login, wanted), wanted)
        with pytest.raises(CacheError, match="maxmemory-policy") as caught:
            run(client, changes)
    assert "timeout" in caught.value.path
    assert server.observed() == {**server.declared, **CLOSED}


def test_no_server() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        login = Login(Endpoint("127.0.0.1", taken.getsockname()[1]), "", PASSWORD)
        with pytest.raises(CacheError) as caught:
            read(login, ["timeout"], timeout=2)
    assert PASSWORD not in caught.value.message
    assert caught.value.hint
