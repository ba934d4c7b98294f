"""A whole stack made by hand, as the package would make it: what the verification is tested on.

By hand, so that a defect of the package and a defect of its verification cannot hide each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from infra.cache import wire
from infra.endpoint import Endpoint
from infra.targets.location import Location
from infra.verification.subject import PostgresSubject, RedisSubject, ServerSubject, Subject
from tests.support import live_servers
from tests.support.live_servers import ServerProgram, free_port, owned, private_file
from tests.support.locations import process_location

POSTGRES_PARAMETERS = {
    "max_connections": "50",
    "shared_buffers": "32MB",
    "log_min_duration_statement": "1s",
    "log_directory": "{logs}",
}
REDIS_PARAMETERS = {
    "timeout": "0",
    "tcp-keepalive": "300",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "save": "900 1 300 10 60 10000",
    "loglevel": "notice",
}
FOLDERS = ("data", "config", "secrets", "logs", "run")


class Clients:
    """Who talks to the two servers of a stack, wherever they run."""

    subject: Subject

    def sql(self, *statements: str, database: str = "circlepay_db") -> None:
        """Run statements as the superuser, each on its own."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def connect(self, database: str = "circlepay_db") -> psycopg.Connection:
        """A superuser's connection in autocommit."""
        server = self.subject.postgres
        return psycopg.connect(
            host=server.host,
            port=server.port,
            user=server.superuser,
            password=server.superuser_password,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def redis(self, *commands: tuple[str, ...]) -> None:
        """Run Redis commands, authenticated."""
        server = self.subject.redis
        wire.answer(Endpoint(server.host, server.port), ("AUTH", server.password), *commands, timeout=5)

    def ask(self, name: str) -> None:
        """Authenticate with a server. Raises one of NOT_YET where it does not answer."""
        if name == "postgres":
            self.connect("postgres").close()
        else:
            self.redis(("PING",))


@dataclass
class Stack(Clients):
    """Two running servers, by name."""

    folder: Path
    subject: Subject = field(repr=False)
    servers: dict[str, ServerProgram] = field(default_factory=dict)

    def start(self, name: str, *more: str) -> None:
        """Start a server, with more arguments, and wait until it authenticates."""
        self.servers[name].start(*more)

    def stop(self, name: str) -> None:
        """Stop a server and wait."""
        self.servers[name].stop()


@contextmanager
def stack(
    programs: Path | None = None, cache_program: Path | None = None, *, schema: str | None = None
) -> Iterator[Stack]:
    """A stack as documented. programs: folder of PostgreSQL's executables; both defaults are the wheels'.

    schema: SQL to use in place of the migrations, which are then not recorded.
    """
    with live_servers.server_folder("verification") as folder:
        made = Stack(folder, subject_of(_location(folder / "postgres"), _location(folder / "redis")))
        made.servers["postgres"] = _postgres(made, programs or live_servers.postgres_programs(folder))
        made.servers["redis"] = _redis(made, cache_program or live_servers.cache_program(folder))
        with live_servers.running(made.servers["postgres"]), live_servers.running(made.servers["redis"]):
            live_servers.write_objects(made.connect, made.subject.postgres.application_password, schema)
            yield made


def _location(folder: Path) -> Location:
    """A server's location, with its folders."""
    for each in ("", *FOLDERS):
        (folder / each).mkdir(mode=0o700, exist_ok=True)
        owned(folder / each)
    location = process_location(folder.name, folder, free_port())
    return replace(location, user=live_servers.USER or "")


def subject_of(postgres: Location, redis: Location) -> Subject:
    """The stack of the document with passwords of its own."""
    return Subject(
        postgres=PostgresSubject(
            location=postgres,
            superuser="postgres",
            superuser_password=secrets.token_urlsafe(24),
            database="circlepay_db",
            application_role="circlepay_user",
            application_password=secrets.token_urlsafe(18) + "/@%' \"",
            owner=live_servers.OWNER_ROLE,
            encoding="UTF8",
            locale="C",
            locale_provider="libc",
            parameters=POSTGRES_PARAMETERS,
        ),
        redis=RedisSubject(location=redis, password=secrets.token_urlsafe(24), parameters=REDIS_PARAMETERS),
    )


def postgres_files(server: PostgresSubject, clients: str = "127.0.0.1/32") -> dict[str, str]:
    """Path below the server's folder -> content. clients: who may log in, as pg_hba.conf says it."""
    places = server.placeholders
    settings = {
        "listen_addresses": places["host"],
        "port": places["port"],
        "unix_socket_directories": "",
        "hba_file": f"{places['config']}/pg_hba.conf",
        "password_encryption": "scram-sha-256",
        **{name: value.replace("{logs}", places["logs"]) for name, value in server.parameters.items()},
    }
    return {
        "secrets/superuser": server.superuser_password,
        "config/postgresql.conf": "".join(f"{name} = '{value}'\n" for name, value in settings.items()),
        "config/pg_hba.conf": f"host all all {clients} scram-sha-256\n",
    }


def redis_files(server: RedisSubject, logfile: str) -> dict[str, str]:
    """Path below the server's folder -> content."""
    places = server.placeholders
    lines = [f"port {places['port']}", f"bind {places['host']}", f"dir {places['data']}", f'logfile "{logfile}"']
    lines += [f"{name} {value}" for name, value in server.parameters.items()]
    return {
        "secrets/password.conf": f"requirepass {server.password}\n",
        "config/redis.conf": "\n".join([*lines, f"include {places['secrets']}/password.conf", ""]),
    }


def initdb(server: PostgresSubject) -> list[str]:
    """The command that makes the data, without its program."""
    places = server.placeholders
    return live_servers.initdb(places["data"], f"{places['secrets']}/superuser")


def postgres_arguments(server: PostgresSubject) -> list[str]:
    """The command of the server, without its program."""
    places = server.placeholders
    return ["-D", places["data"], "-c", f"config_file={places['config']}/postgresql.conf"]


def _postgres(made: Stack, programs: Path) -> ServerProgram:
    server = made.subject.postgres
    log = _written(server, postgres_files(server))
    live_servers.initialise(programs, initdb(server))
    argv = [programs / "postgres", *postgres_arguments(server)]
    return ServerProgram(argv, log, lambda: made.ask("postgres"), stop_signal=live_servers.AT_ONCE)


def _redis(made: Stack, program: Path) -> ServerProgram:
    server = made.subject.redis
    log = _written(server, redis_files(server, f"{server.placeholders['logs']}/redis-server.log"))
    return ServerProgram([program, f"{server.placeholders['config']}/redis.conf"], log, lambda: made.ask("redis"))


def _written(server: ServerSubject, files: dict[str, str]) -> Path:
    """The file for what the server prints, next to its files."""
    for path, text in files.items():
        private_file(Path(server.location.names["folder"]) / path, text)
    return Path(server.placeholders["logs"]) / "start.log"
