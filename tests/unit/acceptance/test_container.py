"""An engine's description, as the checks get it, and what a subject says of a server in a container."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.verification import PostgresSubject, RedisSubject, ServerPlace, Subject
from tests.acceptance.container import Container, declared_address
from tests.acceptance.machine import Address, folders_of

PLACES = {
    "data": "/data",
    **{name: f"/etc/circlepay/{name}" for name in ("config", "secrets", "logs", "run")},
    "host": "0.0.0.0",
    "port": "6379",
}
PLACE = ServerPlace("127.0.0.1", 16379, container="redis-circlepay", engine="unix:///engine.sock", places=PLACES)


def container(**about: Any) -> Container:
    return Container(PLACE, {"HostConfig": {}, "NetworkSettings": {}, "Mounts": [], **about})


@pytest.mark.parametrize(
    ("host", "published", "address"),
    [
        ("127.0.0.1", "", Address("127.0.0.1", 16379)),
        ("localhost", "", Address("127.0.0.1", 16379)),
        ("::1", "", Address("::1", 16379)),
        ("127.0.0.1", "0.0.0.0:6379", Address("0.0.0.0", 6379)),
        ("127.0.0.1", "[::]:6379", Address("::", 6379)),
        ("db.example.test", "", Address("db.example.test", 16379)),
    ],
)
def test_where_the_engine_shall_publish_it(host: str, published: str, address: Address) -> None:
    assert declared_address(ServerPlace(host, 16379, published=published)) == address


def test_what_is_published_is_what_was_asked_for_and_what_is() -> None:
    found = container(
        HostConfig={"PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "16379"}], "80/tcp": None}},
        NetworkSettings={"Ports": {"6379/tcp": [{"HostIp": "", "HostPort": "16379"}], "81/tcp": None}},
    )
    assert found.published == {("6379/tcp", Address("127.0.0.1", 16379)), ("6379/tcp", Address("0.0.0.0", 16379))}


def test_the_nearest_mount_holds_a_path() -> None:
    mounts = [{"Type": "volume", "Destination": path} for path in ("/etc", "/etc/circlepay", "/data")]
    found = container(Mounts=[*mounts, {"Type": "tmpfs", "Destination": "/etc/circlepay/run"}])
    assert (found.mount_of("/etc/circlepay/run/file") or {})["Destination"] == "/etc/circlepay"
    assert found.mount_of("/etcetera") is None
    assert found.memory_folders == {"/etc/circlepay/run": ""}


def test_folders_are_where_the_server_sees_them() -> None:
    expected = ("/data", "/data", "/etc/circlepay/logs", "/etc/circlepay/config", "/etc/circlepay/secrets")
    assert folders_of(PLACE) == expected
    process = folders_of(ServerPlace("127.0.0.1", 1, folder="/srv/redis"))
    assert process == ("/srv/redis", *(f"/srv/redis/{name}" for name in ("data", "logs", "config", "secrets")))


def subject() -> Subject:
    limits = {"memory": 805306368, "nanoCpus": 1500000000, "pids": 0}
    place = {
        "host": "127.0.0.1",
        "container": "one",
        "engine": "unix:///engine.sock",
        "places": PLACES,
        "limits": limits,
    }
    names = ("superuser", "superuser_password", "database", "application_role", "application_password", "owner")
    texts = dict.fromkeys((*names, "encoding", "locale", "locale_provider"), "text")
    return Subject(
        "docker",
        PostgresSubject(**place, port=5432, **texts),  # type: ignore[arg-type]
        RedisSubject(**place, port=6379, password="text", published="0.0.0.0:6379"),  # type: ignore[arg-type]
    )


def test_a_subject_in_containers_survives_an_engine_without_whole_numbers() -> None:
    declared = subject()
    value = json.loads(json.dumps(declared.to_json()), parse_int=float)
    read = Subject.from_json(value)
    assert read == declared
    assert {type(number) for server in read.servers.values() for number in (server.port, *server.limits.values())} == {
        int
    }


def test_who_is_in_a_container() -> None:
    assert subject().contained == ["postgres", "redis"]
    subject().check_target()
