"""PostgreSQL and Redis in containers by hand: what the engine is told of ours is told again, and nothing but that.

Everything a container is (image, command, limits, hardening, mounts, ports) is what the engine says of a stack's own, under
other names. As in by_hand.py, what is prepared costs nothing: images are there, and so are the files, on their volumes. The
engine is asked through its API on a connection that is open already: the docker command would start a program each time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from infra.endpoint import Endpoint, Login
from infra.errors import ServerError
from infra.settings.model import PostgresSettings
from infra.targets import rendering
from infra.targets.clones import clone_id
from infra.targets.docker import archives
from infra.targets.docker.container_location import ContainerLocation, argv
from infra.targets.location import Location
from infra.targets.processes.programs import locate
from infra.targets.spec import ServerSpec
from tests.bench import container_stacks, documented
from tests.bench.by_hand import POLL, PROBE_SECONDS, START_SECONDS, Psql, default_settings
from tests.bench.docker_resources import Copy
from tests.bench.refreshed import custom_resources
from tests.bench.round_trips import plain
from tests.support import engine
from tests.support.clones import Clone
from tests.support.quiet_ports import quiet_port


@dataclass(frozen=True)
class Server:
    """A server's container as the engine has one of a stack, or shall have one by hand.

    name: of the container. body: what the engine's API is told to create it, see
    https://docs.docker.com/reference/api/engine/ `ContainerCreate`. files: archive of its configuration and secrets.
    """

    spec: ServerSpec
    site: ContainerLocation
    placeholders: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    body: Mapping[str, Any]
    files: bytes = field(repr=False)

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> Server:
        """The one of a stack that is up, by the inputs of its Server."""
        location = Location.from_json(inputs["location"])
        site = ContainerLocation.of(location)
        found = engine.client().inspect_container(site.container)
        chunks, _ = engine.client().get_archive(site.container, f"{engine.FILES_ROOT}/.")
        config = {name: value for name, value in found["Config"].items() if name != "Hostname"}
        body = {**config, "HostConfig": found["HostConfig"]}
        spec = ServerSpec.from_json(inputs["spec"])
        return cls(spec, site, location.placeholders, inputs["secrets"], body, b"".join(chunks))

    def under(self, copy: Copy) -> Server:
        """The same under other names and on another port."""
        body = copy.of(self.body)
        host = body["HostConfig"]
        for binding in (each for several in host["PortBindings"].values() for each in several):
            binding["HostPort"] = str(quiet_port())
        return replace(self, site=ContainerLocation(**copy.of(asdict(self.site))), body=body)

    @property
    def endpoint(self) -> Endpoint:
        """Where it is published."""
        (binding,) = next(iter(self.body["HostConfig"]["PortBindings"].values()))
        return Endpoint(binding["HostIp"], int(binding["HostPort"]))

    @property
    def texts(self) -> dict[str, str]:
        """Path -> content of its files."""
        files = self.spec.files
        return {file.path: rendering.text(file, self.spec, self.placeholders, self.secrets) for file in files}

    def put_files(self) -> None:
        """Its files on a volume, with those that only initialising wants."""
        once = {file.path: self.texts[file.path] for file in self.spec.files if file.once}
        binds = [f"{self.site.files_volume}:{engine.FILES_ROOT}"]
        engine.client().create_volume(self.site.files_volume, labels=self.body["Labels"])
        with engine.container_of(self.site.image, binds=binds) as carrier:
            engine.client().put_archive(carrier, engine.FILES_ROOT, self.files)
            packed = archives.packed(once, (), self.site.owner)
            engine.client().put_archive(carrier, engine.FILES_ROOT, packed)

    def begin_initializing(self) -> str:
        """Starts a container that makes empty data and ends; its id."""
        program, *arguments = argv(self.spec, self.spec.initialize, self.placeholders)
        alone = {"NetworkMode": "none", "PortBindings": {}, "RestartPolicy": {"Name": "no"}}
        host = {**self.body["HostConfig"], **alone}
        body = {**self.body, "Entrypoint": [program], "Cmd": arguments, "Healthcheck": None, "HostConfig": host}
        return _started(body, f"{self.site.container}-initialize")

    def make_volume(self) -> None:
        """The volume of its data, empty."""
        engine.client().create_volume(self.site.data_volume, labels=self.body["Labels"])

    def start(self) -> None:
        """Makes the container and starts it."""
        _started(self.body, self.site.container)

    def wait(self) -> None:
        """Returns when it accepts its credentials."""
        probe = self.spec.load_probe()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                probe(self.endpoint, self.secrets, PROBE_SECONDS, files=self.texts)
                return
            except ServerError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL)


@dataclass(frozen=True)
class Pair:
    """Both servers of a stack in containers, their network, and the settings of what is in the database."""

    postgres: Server
    redis: Server
    network: Mapping[str, Any]
    settings: PostgresSettings
    folder: Path

    @classmethod
    def of(cls, clone: Clone, folder: Path) -> Pair:
        """What a stack has that is up."""
        states = [plain(each["inputs"]) for each in custom_resources(clone) if each["type"].endswith(":index:Server")]
        servers = {each["spec"]["name"]: Server.of(each) for each in states}
        found = engine.client().inspect_network(states[0]["location"]["names"]["network"])
        network = {name: found[name] for name in ("Name", "Driver", "Options", "Labels")}
        return cls(servers["postgres"], servers["redis"], network, default_settings().postgres, folder)

    def under(self, copy: Copy) -> Pair:
        """The same under other names and on other ports."""
        return replace(
            self, postgres=self.postgres.under(copy), redis=self.redis.under(copy), network=copy.of(self.network)
        )

    def prepare(self) -> None:
        """Files on their volumes; nothing else is there."""
        self.postgres.put_files()
        self.redis.put_files()

    def bring_up(self) -> None:
        """The raw limit: both containers, initdb, the objects by psql in one transaction. Redis starts meanwhile."""
        labelled = {name.lower(): value for name, value in self.network.items() if name != "Name"}
        engine.client().create_network(self.network["Name"], **labelled)
        self.postgres.make_volume()
        initializer = self.postgres.begin_initializing()
        self.redis.make_volume()
        self.redis.start()
        _await_end(initializer)
        self.postgres.start()
        self.postgres.wait()
        password = self.postgres.secrets["superuser_password"]
        program = locate(self.postgres.spec, "wheel", None, self.folder) / "psql"
        psql = Psql(program, Login(self.postgres.endpoint, self.settings.superuser, password), self.folder)
        psql.run("postgres", "-c", documented.create_database(self.settings))
        psql.run(self.settings.database, "-1", "-f", str(documented.script(self.settings, self.folder / "objects.sql")))
        self.redis.wait()


@contextmanager
def prepared(pair: Pair, clone: Clone) -> Iterator[Pair]:
    """The clone's pair under names of its own, ready for `bring_up`; removed at the end."""
    token = secrets.token_hex(5)
    copy = Copy(container_stacks.suffix(clone), clone_id(clone.root), f"-bench-{token}", token)
    own = pair.under(copy)
    with container_stacks.nothing_left(token):
        own.prepare()
        yield own


def _started(body: Mapping[str, Any], name: str) -> str:
    made = engine.client().create_container_from_config(body, name)
    engine.client().start(made["Id"])
    return str(made["Id"])


def _await_end(container: str) -> None:
    """Waits for a container that must succeed, and removes it."""
    code = engine.client().wait(container)["StatusCode"]
    assert code == 0, engine.client().logs(container).decode(errors="replace")
    engine.client().remove_container(container)
