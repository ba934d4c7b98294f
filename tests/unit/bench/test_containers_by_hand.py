"""A container by hand is what the engine says of a stack's own, under other names and on another port."""

from __future__ import annotations

import copy
from typing import Any

from infra.cache import server as cache_server
from infra.targets.docker.container_location import ContainerLocation, placeholders
from tests.bench.containers_by_hand import Server
from tests.bench.docker_resources import Copy

COPY = Copy(suffix="-clone-1", mark="0123456789", own_suffix="-bench-2", own_mark="abcdef")
SITE = ContainerLocation(
    container="redis-circlepay-clone-1",
    image="sha256:1",
    user="999:999",
    data_volume="redis_data-clone-1",
    data_mount="/data",
    data="/data",
    files_volume="redis_files-clone-1",
)
BODY: dict[str, Any] = {
    "Cmd": ["/etc/circlepay/config/redis.conf"],
    "Labels": {"io.circlepay.clone": "0123456789"},
    "HostConfig": {
        "Binds": ["redis_data-clone-1:/data:rw"],
        "Memory": 512,
        "NetworkMode": "circlepay-clone-1",
        "PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "6379"}]},
    },
}


def server() -> Server:
    spec = cache_server.spec(parameters={})
    secrets = {"password": "not-to-be-seen"}
    return Server(spec, SITE, placeholders(6379, SITE.data), secrets, copy.deepcopy(BODY), b"")


def test_other_names_and_another_port_and_all_else_the_same() -> None:
    own = server().under(COPY)
    host = dict(own.body["HostConfig"])
    assert own.site.container == "redis-circlepay-bench-2"
    assert own.body["Labels"] == {"io.circlepay.clone": "abcdef"}
    assert own.endpoint.port != 6379
    host.pop("PortBindings")
    assert host == {"Binds": ["redis_data-bench-2:/data:rw"], "Memory": 512, "NetworkMode": "circlepay-bench-2"}


def test_stacks_own_description_is_left_as_it_was() -> None:
    original = server()
    original.under(COPY)
    assert original.body == BODY
    assert str(original.endpoint) == "127.0.0.1:6379"


def test_secrets_and_files_are_not_shown() -> None:
    assert "not-to-be-seen" not in repr(server())
