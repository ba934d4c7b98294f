"""The env file: a pure encoder, and an atomic writer that never touches what is not ours.

What is written is read the same by python-dotenv (as it is by default, with interpolation) and by a POSIX shell
(`set -a; . ./.env.local`). `docker run --env-file` knows no quotes: generated values and URLs need none, a supplied
value with characters outside `[A-Za-z0-9_./:@%+,=-]` does, and is not for it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from infra.changes import Change
from infra.endpoint import Login
from infra.errors import PublishError
from infra.supplied_secrets import SUPPLIED_KEYS

HEADER = "# Written by CirclePay infrastructure"

SECTIONS: dict[str, tuple[str, ...]] = {
    "Database and cache": ("DATABASE_URL", "REDIS_URL"),
    "Security keys": ("SECRET_KEY", "JWT_SECRET_KEY"),
    "Circle API (supplied, never generated)": ("CIRCLE_SANDBOX_API_KEY", "CIRCLE_ENTITY_SECRET"),
    "Environment": ("ENVIRONMENT", "DEBUG", "LOG_LEVEL"),
}
"""The documented keys in the documented order."""

KEYS = tuple(key for keys in SECTIONS.values() for key in keys)

SPELLED = {"$": "ENV_FILE_DOLLAR", "`": "ENV_FILE_BACKTICK", "": "ENV_FILE_NOTHING"}
"""Characters that no quoting writes alike for a shell and for dotenv: values that need them refer to these names.

The empty one ends a value whose last character is a backslash, which dotenv before 1.2 takes for an escaped quote.
"""

MODE = 0o600
MAXIMUM_SIZE = 1024 * 1024
"""Bytes read to tell whose a file is; ours are about one KiB."""

LOCK_ATTEMPTS = 100
LOCK_PAUSE = 0.1
"""Seconds. Ten in all: writing takes milliseconds."""

ENV_FILE_SETTING = "circlepay:envFile"

REFUSALS = {
    "foreign": ("exists and is not ours", f"move it away, or set {ENV_FILE_SETTING} to another path"),
    "link": ("is a symbolic link, which is never followed", f"remove it, or set {ENV_FILE_SETTING} to where it leads"),
    "other": ("is not a file", f"move it away, or set {ENV_FILE_SETTING} to another path"),
}
"""Why something at the path is not replaced, and what to do about it, by its kind."""

SUPPLY = "circlepay:application.circleSandboxApiKey, circleEntitySecret or suppliedSecretsFile"
"""Settings that supply Circle's secrets."""

OTHER_STACK = ("belongs to another stack", f"remove it, or set {ENV_FILE_SETTING} to a path of this stack's own")


def database_url(login: Login) -> str:
    """`postgresql://user:password@host:port/database`, percent-encoded."""
    return (
        f"postgresql://{_encoded(login.user)}:{_encoded(login.password)}@{_address(login)}/{_encoded(login.database)}"
    )


def redis_url(login: Login) -> str:
    """`redis://:password@host:port/0`, percent-encoded; with a user name where the login has one."""
    return f"redis://{_encoded(login.user)}:{_encoded(login.password)}@{_address(login)}/0"


def encode(values: Mapping[str, str], stack: str = "") -> str:
    """The file's text. Every documented key must be there, none else.

    Raises PublishError naming the key, never its value: one is missing or unknown, or a value is not printable ASCII.
    """
    _check(values)
    bodies = {key: _quoted(value) for key, value in values.items()}
    lines = [header(stack), "# Do not edit: the next `up` puts it back. Change the settings of the stack instead."]
    spelled = [
        f"{name}='{text}'" for text, name in SPELLED.items() if any(f"${{{name}}}" in body for body in bodies.values())
    ]
    if spelled:
        lines += ["", "# Characters that shells and dotenv quote differently", *spelled]
    for title, keys in SECTIONS.items():
        lines += ["", f"# {title}", *(f"{key}={bodies[key]}" for key in keys)]
    return "\n".join(lines) + "\n"


def header(stack: str = "") -> str:
    """The first line, which marks the file as ours and as this stack's."""
    return f"{HEADER} for the stack {stack}." if stack else f"{HEADER}."


def read_back(text: str) -> dict[str, str]:
    """The documented values as python-dotenv reads them, with nothing from the environment of this process.

    Raises PublishError when the text holds a line that dotenv cannot read.
    """
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    bindings = list(parse_stream(StringIO(text)))
    names = [binding.key for binding in bindings if binding.key]
    for binding in bindings:
        if binding.error:
            raise PublishError("read the env file", f"line {binding.original.line}", "is not KEY=value")
        if binding.key and names.count(binding.key) > 1:
            raise PublishError("read the env file", binding.key, "stands there twice")
    values = dotenv_values(stream=StringIO(text))
    return {name: value or "" for name, value in values.items() if name not in SPELLED.values()}


@dataclass(frozen=True)
class EnvFileState:
    """What stands at the env file's path.

    kind: absent, ours, foreign (a file that is not ours), link (a symbolic link) or other (no file). header: first line
    of a file that is ours. sha256: of the content, hexadecimal; empty unless it is a file. mode: permission bits. text:
    of a file that is ours; it holds secrets.
    """

    kind: Literal["absent", "ours", "foreign", "link", "other"]
    header: str = ""
    sha256: str = ""
    mode: int = 0
    text: str = field(default="", repr=False, compare=False)


def digest(text: str) -> str:
    """SHA-256 of the text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def observe(path: Path) -> EnvFileState:
    """What stands there now. Raises PublishError when it cannot be read."""
    try:
        with open(path, "rb", opener=_open_unfollowed) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return EnvFileState("other")
            content = file.read(MAXIMUM_SIZE)
    except FileNotFoundError:
        return EnvFileState("absent")
    except IsADirectoryError:
        return EnvFileState("other")
    except OSError as error:
        if error.errno == errno.ELOOP:
            return EnvFileState("link")
        raise _refused(path, error) from error
    first = content.partition(b"\n")[0].decode(errors="replace")
    ours = first.startswith(HEADER)
    sha256, mode = hashlib.sha256(content).hexdigest(), stat.S_IMODE(status.st_mode)
    if not ours:
        return EnvFileState("foreign", "", sha256, mode)
    return EnvFileState("ours", first, sha256, mode, content.decode(errors="replace"))


def _open_unfollowed(name: str, flags: int) -> int:
    """Without O_NONBLOCK a named pipe would wait for its writer."""
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def plan(observed: EnvFileState, text: str) -> list[Change]:
    """What publishing the text would change; empty when the file is as it must be. Pure."""
    refusal = _refusal(observed, text)
    if refusal is not None:
        return [Change("env file", "write", f"cannot be written: what is there {refusal[0]}")]
    if observed.kind == "absent":
        return [Change("env file", "write", "is missing")]
    changes = []
    if observed.sha256 != digest(text):
        changes.append(Change("env file", "write", _difference(observed.text, text)))
    if observed.mode != MODE:
        changes.append(Change("env file", "set", f"has mode {observed.mode:04o}, declared is {MODE:04o}"))
    return changes


def _difference(there: str, text: str) -> str:
    """Which documented keys have another value; never a value, and no other line, which may be anything."""
    old, new = _values(there), _values(text)
    keys = [key for key in KEYS if old.get(key) != new[key]]
    if not keys:
        return "has other lines than declared"
    named = " and ".join(filter(None, [", ".join(keys[:-1]), keys[-1]]))
    return f"{named} {'differs' if len(keys) == 1 else 'differ'} from what is declared"


def _values(text: str) -> dict[str, str]:
    """As `read_back`, of a text that anybody may have edited: lines that dotenv cannot read are passed over."""
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    readable = "".join(binding.original.string for binding in parse_stream(StringIO(text)) if not binding.error)
    values = dotenv_values(stream=StringIO(readable))
    return {key: values.get(key) or "" for key in KEYS if key in values}


def plan_publish(path: Path, text: str) -> list[Change]:
    """`plan` with what stands at the path now."""
    return plan(observe(path), text)


def publish(path: Path, text: str) -> list[Change]:
    """Puts the text at the path with mode 0600 and answers what that changed; never is a part of it to be seen.

    Written beside the path, synced, renamed over it. Only an absent file or one that is ours and of the same stack is
    replaced, and never one whose supplied secret would be replaced by nothing. Raises PublishError; the previous file
    is then as it was.
    """
    observed = observe(path)
    refusal = _refusal(observed, text)
    if refusal is not None:
        raise PublishError("publish the env file", str(path), *refusal)
    changes = plan(observed, text)
    if changes:
        try:
            with _folder(path) as folder:
                _replace(folder, path.name, text)
        except OSError as error:
            raise _refused(path, error) from error
    return changes


def remove(path: Path) -> bool:
    """Removes the file if it is ours, and answers whether it did; anything else stays."""
    if observe(path).kind != "ours":
        return False
    path.unlink(missing_ok=True)
    return True


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    """A descriptor of the file's folder, locked against another writer of the same machine."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for attempt in range(LOCK_ATTEMPTS + 1):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == LOCK_ATTEMPTS:
                    raise
                time.sleep(LOCK_PAUSE)
        yield descriptor
    finally:
        os.close(descriptor)


def _replace(folder: int, name: str, text: str) -> None:
    """Writes beside the file and renames over it; the fixed name means a killed run leaves at most one behind."""
    partial = f"{name}.partial"
    with suppress(FileNotFoundError):
        os.unlink(partial, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(partial, flags, MODE, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii", newline="") as file:
            os.fchmod(descriptor, MODE)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial, dir_fd=folder)
        raise
    os.fsync(folder)


def _refusal(observed: EnvFileState, text: str) -> tuple[str, str] | None:
    """Why what stands there is not replaced, and what to do about it."""
    if observed.kind != "ours":
        return REFUSALS.get(observed.kind)
    if observed.header != text.partition("\n")[0]:
        return OTHER_STACK
    if observed.sha256 != digest(text) and (lost := _lost(observed.text, text)):
        names = " and ".join(lost)
        return (
            f"holds a value of {names}, which this stack does not supply any more: this may be the last copy",
            f"supply it again ({SUPPLY}), or, if it is not needed, delete {names} from the file yourself, "
            "then run `up` again",
        )
    return None


def _lost(there: str, text: str) -> list[str]:
    """Supplied secrets that stand there, be it in a damaged line, and would be replaced by nothing: nobody can
    generate them again."""
    from dotenv.parser import parse_stream

    bindings = list(parse_stream(StringIO(there)))
    held = {binding.key for binding in bindings if binding.value}
    damaged = "".join(binding.original.string for binding in bindings if binding.error)
    new = _values(text)
    return [key for key in SUPPLIED_KEYS if not new.get(key) and (key in held or key in damaged)]


def _refused(path: Path, error: OSError) -> PublishError:
    hint = f"make {path.parent} a folder that you may write to, or set {ENV_FILE_SETTING}"
    return PublishError("publish the env file", str(path), error.strerror or str(error), hint)


def _check(values: Mapping[str, str]) -> None:
    for key in sorted({*KEYS, *values}):
        if key not in values:
            raise PublishError("write the env file", key, "is missing")
        if key not in KEYS:
            raise PublishError("write the env file", key, f"is not one of {', '.join(KEYS)}")
        if not (values[key].isascii() and (values[key].isprintable())):
            raise PublishError("write the env file", key, "must be printable ASCII characters only")


def _quoted(value: str) -> str:
    """The value as it stands after `KEY=`, quoted only where it must be."""
    if re.fullmatch(r"[A-Za-z0-9_./:@%+,=\[\]-]*", value):
        return value
    if "'" not in value and "\\" not in value and "${" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    spelled = re.sub(r"[$`]", lambda found: f"${{{SPELLED[found[0]]}}}", escaped)
    return f'"{spelled}${{{SPELLED[""]}}}"' if value.endswith("\\") else f'"{spelled}"'


def _encoded(text: str) -> str:
    """Percent-encoded down to letters, digits, `_`, `.` and `-`; `~` too, which shells expand after a colon."""
    return quote(text, safe="").replace("~", "%7E")


def _address(login: Login) -> str:
    host = f"[{login.endpoint.host}]" if ":" in login.endpoint.host else login.endpoint.host
    return f"{host}:{login.endpoint.port}"
