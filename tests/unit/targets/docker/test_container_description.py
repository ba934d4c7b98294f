"""An engine's description, as the checks get it, and what a subject says of a server in a container."""

from __future__ import annotations

from typing import Any

import pytest

from infra.targets.docker.checks.container import Container, declared_address
from infra.verification.checks.machine import Address, folders_of
from infra.verification.subject import RedisSubject
from tests.support.locations import container_location

LOCATION = container_location("redis", 16379, "unix:///engine.sock")


def container(**about: Any) -> Container:
    return Container(LOCATION, {"HostConfig": {}, "NetworkSettings": {}, "Mounts": [], **about})


@pytest.mark.parametrize(
    ("published", "address"),
    [
        ("127.0.0.1:16379", Address("127.0.0.1", 16379)),
        ("localhost:16379", Address("127.0.0.1", 16379)),
        ("[::1]:16379", Address("::1", 16379)),
        ("0.0.0.0:6379", Address("0.0.0.0", 6379)),
        ("[::]:6379", Address("::", 6379)),
        ("db.example.test:16379", Address("db.example.test", 16379)),
    ],
)
def test_where_the_engine_shall_publish_it(published: str, address: Address) -> None:
    assert declared_address(LOCATION.completed({"published": published})) == address


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
    server = RedisSubject(location=LOCATION, password="not-to-be-seen")
    assert folders_of(server) == ("/data", "/etc/circlepay/logs", "/etc/circlepay/config", "/etc/circlepay/secrets")
