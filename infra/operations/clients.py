"""psql and a line client for Redis with the stack's credentials, which reach neither argv nor the environment."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infra.endpoint import Login
from infra.errors import CacheError, TargetError
from infra.operations import connections
from infra.operations.stack import StackView

if TYPE_CHECKING:
    from redis import Redis

PASSWORD_VARIABLES = (
    "PGPASSWORD",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
)
ENDLESS = frozenset({"monitor", "subscribe", "psubscribe", "ssubscribe"})


def psql_program(view: StackView) -> Path:
    """psql beside the server's own programs, else on PATH, else in the wheel. Raises TargetError without one."""
    programs = view.server("postgres").programs
    on_path = shutil.which("psql")
    candidates = [programs and programs / "psql", on_path and Path(on_path), _wheel_psql()]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    hint = "Debian, Ubuntu: apt-get install postgresql-client; macOS: brew install libpq"
    raise TargetError("run psql", str(programs or "PATH"), "there is no psql beside the server nor on PATH", hint)


def _wheel_psql() -> Path | None:
    """psql of the wheel that comes with this package, which a server in a container leaves unused; None without one."""
    from infra.postgres import server
    from infra.targets import programs

    try:
        spec = server.spec(parameters={}, superuser="postgres")
        return programs.locate(spec, "wheel", None, Path()) / "psql"
    except TargetError:
        return None


def psql_argv(program: Path, login: Login, arguments: Sequence[str]) -> list[str]:
    """The command line: everything but the password."""
    place = ["--host", login.endpoint.host, "--port", str(login.endpoint.port)]
    return [str(program), *place, "--username", login.user, "--dbname", login.database, "--no-password", *arguments]


def run_psql(view: StackView, login: Login, arguments: Sequence[str]) -> int:
    """Becomes psql, or waits for it where it needs a tunnel of this process; its exit code.

    Raises TargetError when there is no psql.
    """
    program = psql_program(view)
    environment = {name: value for name, value in os.environ.items() if name not in PASSWORD_VARIABLES}
    handle = open_password_file(login)
    environment["PGPASSFILE"] = f"/dev/fd/{handle}"
    argv = psql_argv(program, login, arguments)
    if not login.endpoint.behind:
        os.execve(program, argv, environment)  # noqa: S606  (no shell is the point)
    # Ctrl-C is psql's: here it is heard and nothing done. A signal that is ignored would be ignored by psql too.
    signal.signal(signal.SIGINT, lambda *_: None)
    return subprocess.run(argv, env=environment, pass_fds=[handle], check=False).returncode


def open_password_file(login: Login) -> int:
    """A file descriptor, inherited by children, of a 0600 password file.

    The file has no name any more, so nothing stays behind, not even after kill -9.
    """
    handle, name = tempfile.mkstemp(prefix="circlepay-")
    Path(name).unlink()
    os.write(handle, password_file(login).encode())
    os.lseek(handle, 0, os.SEEK_SET)
    os.set_inheritable(handle, True)
    return handle


def password_file(login: Login) -> str:
    """One line for every database of the server, so that `\\c` works; `:` and `\\` escaped as libpq wants."""
    fields = (login.endpoint.host, str(login.endpoint.port), "*", login.user, login.password)
    return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in fields) + "\n"


def run_redis(login: Login, words: Sequence[str]) -> str:
    """One command's answer as redis-cli writes it. Raises CacheError when refused, ServerError when nobody answers."""
    with connections.redis(login) as client:
        return ask(client, words)


def redis_lines(login: Login, lines: Iterable[str]) -> Iterable[str]:
    """The answer to each line, or the error in its place, until the lines end or one is `quit`.

    Raises ServerError when the server is down.
    """
    with connections.redis(login) as client:
        for line in lines:
            try:
                words = shlex.split(line)
                if words and words[0].lower() in {"quit", "exit"}:
                    return
                yield ask(client, words) if words else ""
            except (CacheError, ValueError) as error:
                yield f"(error) {error.cause if isinstance(error, CacheError) else error}"


def ask(client: Redis, words: Sequence[str]) -> str:
    """One command's answer as redis-cli writes it. Raises CacheError when the server refuses it."""
    from redis.exceptions import RedisError

    if words[0].lower() in ENDLESS:
        raise CacheError(
            "run redis command", words[0], "its answer never ends, and this client shows whole answers only"
        )
    client.response_callbacks.clear()
    try:
        return formatted(client.execute_command(*words))  # type: ignore[no-untyped-call]
    except RedisError as error:
        raise CacheError("run redis command", words[0], str(error)) from None


def _value(item: object, indent: str) -> str:
    """What belongs to a key: beside it, or below it where it is a list or a map."""
    inner = f"{indent}   "
    return (
        f"\n{inner}{formatted(item, inner)}"
        if isinstance(item, dict | list | tuple | set) and item
        else formatted(item)
    )


def formatted(answer: object, indent: str = "") -> str:
    """An answer as redis-cli writes it to a terminal, lines of text unquoted so that INFO stays readable."""
    if answer is None:
        return "(nil)"
    if isinstance(answer, bool):
        return "(true)" if answer else "(false)"
    if isinstance(answer, int):
        return f"(integer) {answer}"
    if isinstance(answer, dict):
        pairs = [
            f"{number}# {formatted(key)} => {_value(item, indent)}"
            for number, (key, item) in enumerate(answer.items(), 1)
        ]
        return f"\n{indent}".join(pairs) if pairs else "(empty hash)"
    if isinstance(answer, list | tuple | set):
        items = [f"{number}) {formatted(item, indent + '   ')}" for number, item in enumerate(answer, 1)]
        return f"\n{indent}".join(items) if items else "(empty array)"
    return str(answer).replace("\r\n", "\n").rstrip("\n")
