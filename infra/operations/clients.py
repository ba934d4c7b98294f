"""psql and a line client for Redis with the stack's credentials, which are neither in arguments nor in the environment."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infra.endpoint import Login
from infra.errors import CacheError, TargetError
from infra.operations import connections
from infra.operations.stack import StackView

if TYPE_CHECKING:
    from redis import Redis

CONNECTION_VARIABLES = (
    "PGPASSWORD",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
)
"""libpq's variables that could override the stack's login."""
STREAMING_COMMANDS = frozenset({"monitor", "subscribe", "psubscribe", "ssubscribe"})


def psql_program(view: StackView) -> Path:
    """psql next to the server's own programs, else on PATH, else in the wheel. Raises TargetError without one."""
    programs = view.server("postgres").programs
    on_path = shutil.which("psql")
    candidates = [programs and programs / "psql", on_path and Path(on_path), _wheel_psql()]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    hint = "Debian, Ubuntu: apt-get install postgresql-client; macOS: brew install libpq"
    raise TargetError("run psql", str(programs or "PATH"), "there is no psql beside the server nor on PATH", hint)


def _wheel_psql() -> Path | None:
    """psql of the wheel that is installed with this package, even for servers in containers; None without one."""
    from infra.postgres import server
    from infra.targets.wheels import wheel_folder

    try:
        spec = server.spec(parameters={}, superuser="postgres")
        return wheel_folder(spec) / "psql"
    except TargetError:
        return None


def psql_argv(program: Path, login: Login, arguments: Sequence[str]) -> list[str]:
    """The command line: everything but the password."""
    address = ["--host", login.endpoint.host, "--port", str(login.endpoint.port)]
    return [str(program), *address, "--username", login.user, "--dbname", login.database, "--no-password", *arguments]


def run_psql(view: StackView, login: Login, arguments: Sequence[str]) -> int:
    """Replaces this process by psql, or waits for it when it needs a tunnel of this process; returns its exit code.

    Raises TargetError when there is no psql.
    """
    program = psql_program(view)
    environment = {name: value for name, value in os.environ.items() if name not in CONNECTION_VARIABLES}
    handle = open_password_file(login)
    environment["PGPASSFILE"] = f"/dev/fd/{handle}"
    argv = psql_argv(program, login, arguments)
    if not login.endpoint.behind:
        os.execve(program, argv, environment)  # noqa: S606  (no shell is the point)
    # Ctrl-C is for psql only. A handler is needed: an ignored signal would be ignored by psql too.
    signal.signal(signal.SIGINT, lambda *_: None)
    return subprocess.run(argv, env=environment, pass_fds=[handle], check=False).returncode


def open_password_file(login: Login) -> int:
    """An inheritable file descriptor of a 0600 password file, which is already unlinked: nothing remains, even after kill -9."""
    handle, name = tempfile.mkstemp(prefix="circlepay-")
    Path(name).unlink()
    os.write(handle, password_file(login).encode())
    os.lseek(handle, 0, os.SEEK_SET)
    os.set_inheritable(handle, True)
    return handle


def password_file(login: Login) -> str:
    """One line for all databases of the server, so that `\\c` works; `:` and `\\` escaped as libpq requires."""
    fields = (login.endpoint.host, str(login.endpoint.port), "*", login.user, login.password)
    return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in fields) + "\n"


def run_redis(login: Login, words: Sequence[str]) -> str:
    """One command's answer in redis-cli's format. Raises CacheError when refused, ServerError without an answer."""
    with connections.redis(login) as client:
        return ask(client, words)


def typed(place: str) -> Iterator[str]:
    """Lines from the terminal with a prompt and history, or from a pipe without."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    import readline  # noqa: F401  (line editing of input())

    while True:
        try:
            yield input(f"{place}> ")
        except EOFError:
            print()
            return


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
    """One command's answer in redis-cli's format. Raises CacheError when the server refuses it."""
    from redis.exceptions import RedisError

    if words[0].lower() in STREAMING_COMMANDS:
        raise CacheError(
            "run redis command", words[0], "its reply never ends, and this client shows only complete replies"
        )
    client.response_callbacks.clear()
    try:
        return formatted(client.execute_command(*words))  # type: ignore[no-untyped-call]
    except RedisError as error:
        raise CacheError("run redis command", words[0], str(error)) from None


def _value(item: object, indent: str) -> str:
    """The value of a key: on the same line, or below it for a list or a map."""
    inner = f"{indent}   "
    return (
        f"\n{inner}{formatted(item, inner)}"
        if isinstance(item, dict | list | tuple | set) and item
        else formatted(item)
    )


def formatted(answer: object, indent: str = "") -> str:
    """An answer in redis-cli's format for a terminal, but with text unquoted so that INFO stays readable."""
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
