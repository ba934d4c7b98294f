"""Runs the acceptance suite against one stack, in a child process, and tells what it found.

    subject ──stdin──▶ python -m tests.acceptance ──stdout──▶ report

A child, because pytest in the process that asked would leave its state and its imports there, and because a child can
be stopped at any moment: all it does on a server is rolled back when its connection ends. The subject holds
credentials, so it travels through a pipe: nothing in argv, in the environment or in a file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from infra.errors import VerificationError
from infra.tunnels import reach

PROJECT_ROOT = Path(__file__).resolve().parent.parent
SUITE_MODULE = "tests.acceptance"
TIME_LIMIT = 120.0
"""Seconds for the whole suite; it needs about one."""
POLL = 0.1
"""Seconds between two looks at a request to cancel."""
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
)
"""All the child gets of the environment; the rest (PGSSLMODE, PYTEST_ADDOPTS) would change the verdict."""
TARGETS = ("processes", "docker")
"""Targets whose servers can be looked at."""


@dataclass(frozen=True)
class ServerPlace:
    """Where a server runs, as whoever looks at it has to know.

    host, port: as whoever asks reaches it. folder: the placement's folder on the machine that runs it; empty for a
    container. container, engine: the container's name and its engine's URL; empty elsewhere. published: `ADDRESS:PORT`
    that the engine publishes it on, where that is not host and port. via: the machine that it is published on, where a
    tunnel leads there; host and port are then as that machine sees them. places: what the placeholders of the server's spec
    stand for, as the server sees them, where that is not below `folder`. limits: declared for the container: `memory`
    in bytes, `nanoCpus` in 10^-9 processors, `pids`; 0 is no limit. system_user: who it runs as, by a name of the
    machine or image; None is whoever asks.
    """

    host: str
    port: int
    folder: str = ""
    container: str = ""
    engine: str = ""
    published: str = ""
    via: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    system_user: str | None = None

    @property
    def all_places(self) -> dict[str, str]:
        """Placeholder -> value: data, config, secrets, logs, run, host, port."""
        folders = {name: f"{self.folder}/{name}" for name in ("data", "config", "secrets", "logs", "run")}
        return {**folders, "host": self.host, "port": str(self.port), **self.places}


@dataclass(frozen=True, kw_only=True)
class PostgresSubject(ServerPlace):
    """The PostgreSQL server to look at, and what was declared for it.

    connection_limit: -1 is no limit. parameters: declared setting -> value as PostgreSQL's configuration writes it
    ("128MB"). public_restricted: PUBLIC may not CONNECT to the database, nor make TEMPORARY tables in it.
    """

    superuser: str
    superuser_password: str = field(repr=False)
    database: str
    application_role: str
    application_password: str = field(repr=False)
    owner: str
    encoding: str
    locale: str
    locale_provider: str
    connection_limit: int = -1
    tablespace: str = "pg_default"
    parameters: Mapping[str, str] = field(default_factory=dict)
    redundant_indexes_dropped: bool = False
    public_restricted: bool = False


@dataclass(frozen=True, kw_only=True)
class RedisSubject(ServerPlace):
    """The Redis server to look at; `parameters` as redis.conf writes them ("256mb", "900 1 300 10")."""

    password: str = field(repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """Everything the suite has to know about a stack. It holds credentials: keep it out of logs, argv and environments.

    env_file: absolute path, or None where there is none to check (before it is first published).
    """

    target: str
    postgres: PostgresSubject
    redis: RedisSubject
    env_file: str | None = None

    @property
    def servers(self) -> dict[str, PostgresSubject | RedisSubject]:
        """The servers by their names."""
        return {"postgres": self.postgres, "redis": self.redis}

    @property
    def contained(self) -> list[str]:
        """Names of the servers that run in containers."""
        return [name for name, server in self.servers.items() if server.container]

    def check_target(self) -> None:
        """Raises VerificationError for a target whose servers nobody can look at."""
        if self.target not in TARGETS:
            raise VerificationError(
                "verify", f"target {self.target}", "this target cannot be verified", f"known: {', '.join(TARGETS)}"
            )

    def secrets(self) -> dict[str, str]:
        """Every secret in here, by a name that may be shown."""
        return {
            "superuser password": self.postgres.superuser_password,
            "application password": self.postgres.application_password,
            "redis password": self.redis.password,
        }

    def to_json(self) -> dict[str, Any]:
        """The subject as JSON types, secrets in plain: for a pipe or an encrypted output only."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Subject:
        """The subject that `to_json` wrote; numbers may arrive as floats, which is what the engine makes of them."""
        postgres = {**value["postgres"]}
        redis = {**value["redis"]}
        for section, names in ((postgres, ("port", "connection_limit")), (redis, ("port",))):
            section.update({name: int(section[name]) for name in names if name in section})
            section["parameters"] = {name: str(text) for name, text in section.get("parameters", {}).items()}
            section["limits"] = {name: int(number) for name, number in section.get("limits", {}).items()}
        return cls(
            target=value["target"],
            postgres=PostgresSubject(**postgres),
            redis=RedisSubject(**redis),
            env_file=value.get("env_file"),
        )


class Failure(NamedTuple):
    """A check that did not pass.

    check: `group: name`. message: what was expected, what was observed, what to do; without secrets.
    """

    check: str
    message: str


@dataclass(frozen=True)
class Check:
    """One check of the suite.

    outcome: passed or failed. seconds: how long it took. structural: it failed over something only a migration may
    mend (a missing column, another type), which `up` reports and leaves.
    """

    group: str
    name: str
    outcome: str
    seconds: float
    message: str = ""
    structural: bool = False


@dataclass(frozen=True)
class Report:
    """What the suite found. seconds: wall clock of the whole run, the child's start included."""

    checks: tuple[Check, ...]
    seconds: float

    @property
    def failures(self) -> list[Failure]:
        """Every check that did not pass, in the order they ran."""
        return [_failure(check) for check in self.checks if check.outcome != "passed"]

    @property
    def structural(self) -> list[Failure]:
        """Failures that only a migration may mend."""
        return [_failure(check) for check in self.checks if check.outcome != "passed" and check.structural]

    @property
    def blocking(self) -> list[Failure]:
        """Failures that keep the env file from being published: all but the structural ones."""
        return [_failure(check) for check in self.checks if check.outcome != "passed" and not check.structural]

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return len(self.checks) - len(self.failures)

    @property
    def failed(self) -> int:
        """How many did not."""
        return len(self.failures)

    def as_dict(self) -> dict[str, Any]:
        """The report for `--json`: every check with its group, outcome, time and message."""
        return {
            "passed": self.passed,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "checks": [asdict(check) for check in self.checks],
        }


def _failure(check: Check) -> Failure:
    return Failure(f"{check.group}: {check.name}", check.message)


def redact(text: str, secrets: Sequence[str]) -> str:
    """`text` with each secret, plain or URL-encoded, replaced."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for shape in (secret, quote(secret, safe=""), quote(secret)):
            text = text.replace(shape, "[secret]")
    return text


def prepare() -> subprocess.Popen[str]:
    """Start the child, which loads its libraries and waits for a subject.

    Worth it where a server is being started meanwhile: half of the suite's time is imports. Give it to `run`, or end
    it with `abandon`; it also ends by itself when whoever started it is gone.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.Popen(
        [sys.executable, "-m", SUITE_MODULE],
        cwd=PROJECT_ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def abandon(suite: subprocess.Popen[str]) -> None:
    """End a prepared child that is not needed after all."""
    suite.kill()
    suite.communicate()


def run(
    subject: Subject,
    *,
    junit: Path | None = None,
    cancelled: threading.Event | None = None,
    suite: subprocess.Popen[str] | None = None,
) -> Report:
    """Run every check against `subject`.

    junit: where to write a JUnit report; its folder is made. cancelled: set by whoever wants it to stop. suite: a
    child made by `prepare`. A failed check is part of the report; VerificationError means that the suite itself could
    not run to its end.
    """
    started = time.monotonic()
    subject.check_target()
    if junit is not None:
        junit.resolve().parent.mkdir(parents=True, exist_ok=True)
    child = suite or prepare()
    request = {"subject": reached(subject).to_json(), "junit": str(junit.resolve()) if junit else None}
    secrets = tuple(subject.secrets().values())
    output, errors = _converse(child, json.dumps(request), started + TIME_LIMIT, cancelled or threading.Event())
    answer = _parse(output)
    if answer is None:
        last_lines = " | ".join(redact(errors, secrets).strip().splitlines()[-3:])
        raise VerificationError(
            "verify",
            SUITE_MODULE,
            f"the suite ended with exit code {child.returncode} and without a report: {last_lines or 'no message'}",
            "run `make verify` again; if it stays, `python -m tests.acceptance < /dev/null` shows whether it loads",
        )
    checks = tuple(Check(**{**check, "message": redact(check["message"], secrets)}) for check in answer)
    return Report(checks, time.monotonic() - started)


def reached(subject: Subject) -> Subject:
    """The subject with host and port as this process reaches them. Raises TunnelError when there is no way."""
    return replace(subject, postgres=_reached(subject.postgres), redis=_reached(subject.redis))


Place = TypeVar("Place", bound=ServerPlace)


def _reached(place: Place) -> Place:
    if not place.via:
        return place
    endpoint = reach(place.host, place.port, place.via)
    return replace(place, host=endpoint.host, port=endpoint.port)


def _converse(
    child: subprocess.Popen[str], request: str, deadline: float, cancelled: threading.Event
) -> tuple[str, str]:
    """What the child wrote to stdout and stderr after it read `request`; ends it when cancelled or too late."""
    to_send: str | None = request
    while True:
        try:
            return child.communicate(to_send, timeout=POLL)
        except subprocess.TimeoutExpired:
            to_send = None
        if cancelled.is_set():
            abandon(child)
            raise VerificationError("verify", SUITE_MODULE, "was cancelled", "run `make verify` when it suits")
        if time.monotonic() > deadline:
            abandon(child)
            raise VerificationError(
                "verify",
                SUITE_MODULE,
                f"did not end within {TIME_LIMIT:.0f} s",
                "see whether a server is overloaded or hangs",
            )


def _parse(output: str) -> list[dict[str, Any]] | None:
    """The checks on the child's last line, or None when it wrote something else."""
    lines = output.strip().splitlines()
    try:
        checks: list[dict[str, Any]] = json.loads(lines[-1])["checks"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return checks or None
