"""The status of a stack: both servers, the env file, drift. A part that fails does not hide the others."""

from __future__ import annotations

import contextlib
import socket
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from infra import files
from infra.endpoint import Endpoint
from infra.errors import CirclePayError, PublishError
from infra.operations import connections, preview
from infra.operations.preview import Planned, Preview
from infra.operations.stack import ServerView, StackView
from tools.running import say

POSTGRES_FACTS = """
SELECT current_setting('server_version'),
       split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int,
       extract(epoch FROM now() - pg_postmaster_start_time())::bigint,
       (SELECT sum(pg_database_size(oid)) FROM pg_database WHERE datallowconn)::bigint
"""


@dataclass(frozen=True)
class ServerStatus:
    """One server. running: something listens on its port. authenticating: it accepts the stack's credentials.

    pid: process id, None when unknown or not of this machine's process table. uptime: seconds. size: bytes of all
    databases of PostgreSQL, or memory used by Redis. place: what it runs in, empty for a process of a shared machine.
    problem: why it does not authenticate, else empty. restarts: how often its target has started it again by itself since
    somebody did. out_of_memory: something in it was killed at its memory limit since it last started. Both are None where
    nobody counts.
    """

    name: str
    address: str
    port: int
    running: bool
    authenticating: bool
    version: str = ""
    pid: int | None = None
    uptime: int | None = None
    size: int | None = None
    place: str = ""
    problem: str = ""
    restarts: int | None = None
    out_of_memory: bool | None = None


@dataclass(frozen=True)
class EnvFileStatus:
    """The env file. current: it has the content that `up` wrote, as far as known. problem: what is wrong, else empty."""

    path: str
    exists: bool
    mode: str = ""
    current: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Status:
    """The whole status. drift: what `up` would change, None when not checked. drift_problem: why it could not be checked.

    drift_error: the same error as `CirclePayError.as_dict`; empty without one. findings: as they are now, or those of the last
    `up` where drift was not checked.
    """

    stack: str
    servers: tuple[ServerStatus, ...]
    env_file: EnvFileStatus
    drift: tuple[Planned, ...] | None
    verification: dict[str, Any]
    findings: tuple[dict[str, str], ...] = field(default=())
    drift_problem: str = ""
    drift_error: dict[str, str] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        """Whether everything is as declared, as far as it was checked.

        Failed checks do not count: on a stack that is up they wait for a decision, any other would have stopped its `up`.
        """
        return (
            all(server.authenticating for server in self.servers)
            and not self.env_file.problem
            and not self.drift
            and not self.drift_problem
        )

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        plain = asdict(self)
        plain["drift"] = None if self.drift is None else [planned.as_dict() for planned in self.drift]
        return {**plain, "well": self.well}


def read(view: StackView, *, look_for_drift: bool = True) -> Status:
    """The stack as it is now. The three parts run in parallel; with drift it takes as long as a `pulumi preview`."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        postgres = pool.submit(server_status, view, "postgres")
        redis = pool.submit(server_status, view, "redis")
        looked, problem = _look(view) if look_for_drift else (None, None)
        servers = (postgres.result(), redis.result())
    drift = None if looked is None else looked.planned
    return Status(
        stack=view.stack,
        servers=servers,
        env_file=env_file_status(view, drift or ()),
        drift=drift,
        verification=view.verification,
        findings=tuple(view.findings) if looked is None else looked.findings,
        drift_problem=problem.message if problem else "",
        drift_error=problem.as_dict() if problem else {},
    )


def _look(view: StackView) -> tuple[Preview | None, CirclePayError | None]:
    try:
        return preview.run(view.stack, project_root=view.project_root), None
    except CirclePayError as error:
        return None, error


def findings(view: StackView) -> tuple[dict[str, str], ...]:
    """As they are now; those of the last `up`, with a word on standard error, where nothing can be looked at."""
    looked, problem = _look(view)
    if looked is not None:
        return looked.findings
    say(f"as of the last `up`: {problem.message if problem else ''}")
    return tuple(view.findings)


def server_status(view: StackView, name: str) -> ServerStatus:
    """One server, queried over the network as the stack's superuser. Never raises because it is down."""
    server = view.server(name)
    found = _queried(view, server)
    problem = "" if found.authenticating else server.target.problem(server.location) or found.problem
    pid = None if server.target.isolated else found.pid
    place, mishaps = server.target.describe(server.location)[0], server.target.mishaps(server.location)
    found = replace(found, pid=pid, place=place, problem=problem)
    return replace(found, **mishaps._asdict()) if mishaps else found


def _queried(view: StackView, server: ServerView) -> ServerStatus:
    status = partial(ServerStatus, server.name, server.endpoint.host, server.endpoint.port)
    ask = _postgres if server.name == "postgres" else _redis
    running = False
    try:
        running = listens(server.location.endpoint())
        if not running:
            return status(running, False, problem="nothing is listening there")
        return status(running, True, **ask(view))
    except CirclePayError as error:
        return status(running, False, problem=error.cause)


def listens(endpoint: Endpoint, timeout: float = 2.0) -> bool:
    """Whether anything accepts connections there within `timeout` seconds."""
    with contextlib.suppress(OSError), socket.create_connection((endpoint.host, endpoint.port), timeout):
        return True
    return False


def _postgres(view: StackView) -> dict[str, Any]:
    import psycopg

    with connections.postgres(view.admin_login(), application_name="circlepay-status") as connection:
        try:
            row = connection.execute(POSTGRES_FACTS.encode()).fetchone()
        except psycopg.Error:
            return {"version": str(connection.info.server_version)}
    version, pid, uptime, size = row or ("", None, None, None)
    return {"version": version.partition(" ")[0], "pid": pid, "uptime": uptime, "size": size}


def _redis(view: StackView) -> dict[str, Any]:
    with connections.redis(view.redis_login()) as client:
        found: dict[str, Any] = client.info("server") | client.info("memory")
    return {
        "version": str(found.get("valkey_version") or found["redis_version"]),
        "pid": found["process_id"],
        "uptime": found["uptime_in_seconds"],
        "size": found["used_memory"],
    }


def env_file_status(view: StackView, drift: Iterable[Planned] = ()) -> EnvFileStatus:
    """Compares the env file with the stack's URLs and keys, and with the declaration as far as `drift` covers it.

    Values are compared, never printed.
    """
    path = view.env_file
    try:
        mode = stat.S_IMODE(path.lstat().st_mode)
        text = files.read(path).decode(errors="replace")
    except FileNotFoundError:
        return EnvFileStatus(str(path), exists=False, problem="it is missing; `make up` writes it")
    except OSError as error:
        return EnvFileStatus(str(path), exists=True, problem=f"it cannot be read: {error.strerror}")
    other = _other_content(view, text) or _other_than_declared(drift)
    problems = [other] if other else []
    if mode != 0o600:
        problems.insert(0, f"its mode is {mode:04o}, not 0600: others may read it")
    return EnvFileStatus(str(path), exists=True, mode=f"{mode:04o}", current=not other, problem="; ".join(problems))


URLS = {"DATABASE_URL": "databaseUrl", "REDIS_URL": "redisUrl"}


def _other_content(view: StackView, text: str) -> str:
    """How the file's content differs from what the last `up` wrote; empty when it does not."""
    from infra.env_file.encoding import KEYS, read_back

    declared = (*KEYS, *view.own_keys)

    try:
        values = read_back(text)
    except PublishError as error:
        return f"it was edited: {error.path} {error.cause}"
    if any(values.get(key) != view.outputs.get(output) for key, output in URLS.items()):
        return "its URLs are not the stack's; the last `up` did not publish it, or it was edited"
    if missing := [key for key in declared if key not in values]:
        return f"it was edited: {', '.join(missing)} missing"
    if values.keys() - {*declared}:
        # Without their names: a line that was pasted without `=` is all name, and may be a secret.
        return "it was edited: it has keys that are not declared"
    return ""


def _other_than_declared(drift: Iterable[Planned]) -> str:
    """Why `up` would rewrite it; empty when it would not, or when that is unknown because servers are down."""
    changes = [change for item in drift if item.kind == "EnvFile" for change in item.changes]
    written = [change for change in changes if change["action"] == "write" and change["subject"] == "env file"]
    return f"it {written[0]['reason']}" if written else ""
