"""Two servers in containers, as target `docker` makes them: what the verification of containers is tested on.

By hand through the engine's API, so that a defect of the package and a defect of its verification cannot hide each
other. Everything carries a name of its own, is published on loopback only, and goes with the context.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.targets.docker.archives import packed
from infra.targets.docker.container_location import User
from infra.targets.location import Location
from infra.verification.subject import Subject
from tests.images import references as test_images
from tests.support import engine
from tests.support.live_servers import free_port, wait_until_it_answers, write_objects
from tests.support.locations import container_location
from tests.support.placements import wait_until
from tests.support.verification_stack import (
    FOLDERS,
    Clients,
    initdb,
    postgres_arguments,
    postgres_files,
    redis_files,
    subject_of,
)

FILES = "/etc/circlepay"
SECOND = 10**9
"""In the engine's unit of time."""
MEBIBYTE = 2**20
ROOT = User(0, 0)
Description = dict[str, Any]
"""A container as the engine's API is asked to create it."""


@dataclass
class Plan:
    """One server's container. image: its id. user: as the image numbers it. start: argv. health: argv."""

    server: str
    name: str
    image: str
    user: User
    data: str
    start: list[str]
    health: list[str]
    folders_in_memory: dict[str, str]
    described: Description = field(default_factory=dict)

    @property
    def volumes(self) -> tuple[str, str]:
        """Names of the volumes of data and of files."""
        return f"{self.name}-data", f"{self.name}-files"

    @property
    def binds(self) -> list[str]:
        """The volumes where they belong; files can only be read.

        The engine gives an empty volume the mode of the image's folder, each time it makes a container: not so here.
        """
        data, files = self.volumes
        return [f"{data}:{self.data}:nocopy", f"{files}:{FILES}:ro"]

    @property
    def writable(self) -> list[str]:
        """The same for who writes the files."""
        return [bind.removesuffix(":ro") for bind in self.binds]


@dataclass
class ContainerStack(Clients):
    """Two running containers."""

    api: Any
    network: str
    subject: Subject = field(repr=False)
    plans: dict[str, Plan] = field(default_factory=dict)

    def again(self, server: str, change: Callable[[Description], object] = lambda _: None) -> None:
        """Make a server's container again as planned, but for one change; its data stays."""
        plan = self.plans[server]
        described = copy.deepcopy(plan.described)
        change(described)
        engine.remove(f"container {plan.name}")
        self.api.create_container_from_config(described, name=plan.name)
        self.api.start(plan.name)
        wait_until_it_answers(lambda: self.ask(server), lambda: self._last_words(plan.name))

    def until(self, server: str, health: str) -> None:
        """Wait until the engine thinks so of a server's health, at most 20 s."""
        name = self.plans[server].name
        wait_until(lambda: self.api.inspect_container(name)["State"]["Health"]["Status"] == health, seconds=20)

    def inside(self, server: str, command: str, *, detach: bool = False) -> None:
        """Run a shell command in a server's container, as its user."""
        made = self.api.exec_create(self.plans[server].name, ["sh", "-c", command])["Id"]
        output = self.api.exec_start(made, detach=detach)
        assert detach or self.api.exec_inspect(made)["ExitCode"] == 0, output

    def once(self, server: str, *argv: str, user: User = ROOT) -> None:
        """Run a command in a container of its own that may write both volumes."""
        plan = self.plans[server]
        engine.output_of(plan.image, *argv, binds=plan.writable, user=str(user))

    def put(self, server: str, files: dict[str, str]) -> None:
        """Write files through a container that never runs, and make the data's folder the server's own."""
        plan = self.plans[server]
        with engine.container_of(plan.image, binds=plan.writable) as carrier:
            above, _, data = plan.data.rpartition("/")
            self.api.put_archive(carrier, above or "/", packed({}, (data,), plan.user))
            self.api.put_archive(carrier, FILES, packed(files, FOLDERS[1:], plan.user))

    def _last_words(self, name: str) -> str | None:
        state = self.api.inspect_container(name)["State"]
        return None if state["Running"] else f"{state} {self.api.logs(name).decode(errors='replace')}"


@contextmanager
def container_stack(postgres: int = 17, redis: int = 7) -> Iterator[ContainerStack]:
    """A stack as documented, in containers; skips where no engine answers. Arguments are major versions."""
    versions = {"postgres": postgres, "redis": redis}
    if missing := engine.absent(versions.items()):
        pytest.skip(f"needs {missing}")
    own = f"circlepay-test-{secrets.token_hex(4)}"
    made = ContainerStack(engine.client(), own, _subject(own))
    made.plans = {server: _plan(made, server, major) for server, major in versions.items()}
    for plan in made.plans.values():
        plan.described = _described(made, plan)
    try:
        _start(made)
        write_objects(made.connect, made.subject.postgres.application_password)
        yield made
    finally:
        _remove(made)


def _subject(own: str) -> Subject:
    def location(server: str, data: str, inside: str, memory: int) -> Location:
        folders = {name: f"{FILES}/{name}" for name in FOLDERS[1:]}
        port = free_port()
        names = {"container": f"{own}-{server}", "network": own, "published": f"127.0.0.1:{port}"}
        return container_location(server, port, engine.url()).completed(
            names,
            user=server,
            placeholders={**folders, "data": data, "host": "0.0.0.0", "port": inside},
            limits={"memory": memory, "nanoCpus": 2 * SECOND, "pids": 128},
        )

    postgres = location("postgres", "/var/lib/postgresql/data", "5432", 512 * MEBIBYTE)
    return subject_of(postgres, location("redis", "/data", "6379", 256 * MEBIBYTE))


def _plan(made: ContainerStack, server: str, major: int) -> Plan:
    own = made.subject.servers[server]
    if server == "postgres":
        start = ["postgres", *postgres_arguments(made.subject.postgres)]
        health = ["pg_isready", "--host=127.0.0.1", "--quiet"]
        memory = {"/tmp": "", "/run/postgresql": ""}
    else:
        start = ["redis-server", f"{own.placeholders['config']}/redis.conf"]
        health = ["sh", "-c", "redis-cli ping 2>&1 | grep -qE 'PONG|NOAUTH'"]
        memory = {"/tmp": ""}
    image, user = _image(made, server, major)
    return Plan(server, own.location.names["container"], image, user, own.placeholders["data"], start, health, memory)


def _image(made: ContainerStack, product: str, major: int) -> tuple[str, User]:
    """The image's id and the user in it that the server runs as."""
    found = made.api.inspect_image(test_images.reference(product, major))["Id"]
    # uid=999(redis) gid=1000(redis) groups=1000(redis)
    words = engine.output_of(found, "id", product).replace("(", " ").replace("=", " ").split()
    return found, User(int(words[1]), int(words[4]))


def _described(made: ContainerStack, plan: Plan) -> Description:
    place = made.subject.servers[plan.server]
    inside = f"{place.placeholders['port']}/tcp"
    return {
        "Image": plan.image,
        "Entrypoint": plan.start[:1],
        "Cmd": plan.start[1:],
        "User": str(plan.user),
        "Env": ["LC_ALL=C", "TZ=UTC"],
        "Labels": {"circlepay-test": made.network},
        "ExposedPorts": {inside: {}},
        "Healthcheck": {"Test": ["CMD", *plan.health], "Interval": SECOND, "Timeout": 5 * SECOND, "Retries": 3},
        "HostConfig": {
            "Binds": plan.binds,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "ReadonlyRootfs": True,
            "Tmpfs": plan.folders_in_memory,
            "NetworkMode": made.network,
            "PortBindings": {inside: [{"HostIp": place.host, "HostPort": str(place.port)}]},
            "Memory": place.location.limits["memory"],
            "NanoCpus": place.location.limits["nanoCpus"],
            "PidsLimit": place.location.limits["pids"],
            "RestartPolicy": {"Name": "unless-stopped"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}},
        },
    }


def _start(made: ContainerStack) -> None:
    made.api.create_network(made.network, driver="bridge")
    for plan in made.plans.values():
        for volume in plan.volumes:
            made.api.create_volume(volume)
    subject = made.subject
    made.put("redis", redis_files(subject.redis, ""))
    made.put("postgres", postgres_files(subject.postgres, "all"))
    made.once("postgres", "initdb", *initdb(subject.postgres), user=made.plans["postgres"].user)
    for server in made.plans:
        made.again(server)


def _remove(made: ContainerStack) -> None:
    for plan in made.plans.values():
        engine.remove(f"container {plan.name}")
        for volume in plan.volumes:
            engine.remove(f"volume {volume}")
    engine.remove(f"network {made.network}")
