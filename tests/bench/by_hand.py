"""PostgreSQL and Redis brought up by hand: the same programs, users, flags and files as ours, and nothing but the commands.

What is prepared beforehand costs this side nothing: folders, configuration and passwords lie ready, as they would for whoever
has done it before. The files are written by the package itself, so that durability is the same to the letter.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.cache import parameters as cache_parameters
from infra.cache import server as cache_server
from infra.endpoint import Endpoint, Login
from infra.errors import ServerError
from infra.postgres import parameters as postgres_parameters
from infra.postgres import server as postgres_server
from infra.settings.loading import parse
from infra.settings.model import Settings
from infra.targets import owned_files, rendering
from infra.targets.location import placeholders_below
from infra.targets.processes import programs
from infra.targets.processes.placement import Placement, place
from infra.targets.spec import ServerSpec
from tests.bench import documented
from tests.support.quiet_ports import quiet_port

START_SECONDS = 30.0
POLL = 0.005
PROBE_SECONDS = 2.0


def default_settings() -> Settings:
    """The settings of a stack `local` that sets nothing."""
    return parse("local", {})


@dataclass(frozen=True)
class Psql:
    """A program psql, whom it logs in as, and a folder for the file of the password."""

    program: Path
    login: Login
    folder: Path

    def run(self, database: str, *arguments: str) -> None:
        """Runs it quietly, without a start-up file, to its end or the first error."""
        place = self.login.endpoint
        argv = [self.program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", place.host, "-p", place.port]
        argv += ["-U", self.login.user, "-d", database, *arguments]
        environment = {"PATH": os.environ["PATH"], "PGPASSFILE": str(self._password_file)}
        subprocess.run([str(word) for word in argv], check=True, env=environment, stdout=subprocess.DEVNULL)

    @property
    def _password_file(self) -> Path:
        """What psql reads instead of an environment that everybody could read."""
        path = self.folder / "pgpass"
        path.touch(0o600)
        path.write_text(f"*:*:*:*:{self.login.password}\n")
        return path


@dataclass
class Server:
    """One server of a spec, in a placement that holds its files and, before it is initialised, no data."""

    spec: ServerSpec
    placement: Placement
    programs: Path
    secrets: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def placeholders(self) -> dict[str, str]:
        """What the placeholders of its spec stand for."""
        return placeholders_below(self.placement.folder, self.placement.host, self.placement.port)

    @property
    def texts(self) -> dict[str, str]:
        """Path -> content of its files."""
        files = self.spec.files
        return {file.path: rendering.text(file, self.spec, self.placeholders, self.secrets) for file in files}

    def prepare(self) -> None:
        """Folders and files as they would be after an `up`, and empty data; nothing runs."""
        owner = self.placement.owner
        shutil.rmtree(self.placement.sub("data"), ignore_errors=True)
        for name in ("config", "secrets", "logs", "data"):
            owned_files.make_folder(self.placement.sub(name), owner)
        for path, text in self.texts.items():
            owned_files.write(self.placement.folder / path, text, owner)

    def initialize(self) -> None:
        """The spec's own command that makes empty data."""
        subprocess.run(self._argv(self.spec.initialize), check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        """Starts it and waits until it accepts its credentials."""
        log = self.placement.sub("logs") / "by-hand.log"
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                self._argv(self.spec.start), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd="/"
            )
        endpoint, probe = Endpoint(self.placement.host, self.placement.port), self.spec.load_probe()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                probe(endpoint, self.secrets, PROBE_SECONDS, files=self.texts)
                return
            except ServerError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(POLL)

    def stop(self) -> None:
        """Stops it as it wants to be stopped."""
        if self.process is not None:
            self.process.send_signal(signal.Signals[self.spec.stop_signal])
            self.process.wait(START_SECONDS)
            self.process = None

    def _argv(self, words: tuple[str, ...]) -> list[str]:
        command = programs.command(words, self.spec, self.programs, self.placeholders)
        if self.placement.system_user is None:
            return command
        owner = self.placement.owner
        return ["setpriv", f"--reuid={owner.uid}", f"--regid={owner.gid}", "--clear-groups", *command]


@dataclass
class Machine:
    """Both servers by hand, below one data root."""

    folder: Path
    settings: Settings
    postgres: Server
    redis: Server

    @classmethod
    def make(cls, folder: Path) -> Machine:
        """Placements with ports of their own below `folder`; nothing is running."""
        settings = default_settings()
        declared = postgres_parameters.declared(settings.postgres)
        postgres = postgres_server.spec(parameters=declared, superuser=settings.postgres.superuser)
        redis = cache_server.spec(parameters=cache_parameters.declared(settings.redis))
        words = {name: secrets.token_urlsafe(24) for name in ("superuser_password", "password")}
        return cls(
            folder,
            settings,
            _placed(folder, postgres, {"superuser_password": words["superuser_password"]}),
            _placed(folder, redis, {"password": words["password"]}),
        )

    def login(self, database: str) -> Login:
        """The superuser in one of the databases."""
        place, own = self.postgres.placement, self.settings.postgres
        password = self.postgres.secrets["superuser_password"]
        return Login(Endpoint(place.host, place.port), own.superuser, password, database)

    def psql(self, database: str, *arguments: str) -> None:
        """The server's own psql."""
        Psql(self.postgres.programs / "psql", self.login(database), self.folder).run(database, *arguments)

    def bring_up(self) -> None:
        """The raw limit: initdb, start, the objects by psql in one transaction, Redis."""
        own = self.settings.postgres
        self.postgres.initialize()
        self.postgres.start()
        self.psql("postgres", "-c", documented.create_database(own))
        self.psql(own.database, "-1", "-f", str(documented.script(own, self.folder / "objects.sql")))
        self.redis.start()

    def prepare(self) -> None:
        """Ready for `bring_up`: files there, data gone."""
        self.postgres.prepare()
        self.redis.prepare()

    def stop(self) -> None:
        """Stops both."""
        self.postgres.stop()
        self.redis.stop()


@contextmanager
def running_postgres(folder: Path) -> Iterator[Machine]:
    """A machine whose PostgreSQL runs with the settings of a stack, and holds nothing yet."""
    machine = Machine.make(folder)
    machine.postgres.prepare()
    machine.postgres.initialize()
    machine.postgres.start()
    try:
        yield machine
    finally:
        machine.postgres.stop()


def _placed(folder: Path, spec: ServerSpec, words: dict[str, str]) -> Server:
    placement = place(
        data_root=folder / "data",
        clone_id="by-hand",
        stack="bench",
        project_root=str(folder),
        spec_name=spec.name,
        host="127.0.0.1",
        requested_port=quiet_port(),
        documented_port=spec.documented_port,
        secrets_id="bench",
    )
    return Server(spec, placement, programs.provide(spec, "wheel", placement.system_user, folder / "data"), words)
