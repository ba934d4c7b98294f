"""The env file on disk: its state, and a writer that never touches what is not ours."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Literal

from infra import files
from infra.changes import Change
from infra.credentials.supplied import SUPPLIED_KEYS
from infra.env_file.encoding import HEADER, read_back, readable
from infra.errors import PublishError

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


@dataclass(frozen=True)
class EnvFileState:
    """What is at the env file's path.

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
    """What is there now. Raises PublishError when it cannot be read."""
    try:
        with os.fdopen(files.open_regular(path), "rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(MAXIMUM_SIZE)
    except FileNotFoundError:
        return EnvFileState("absent")
    except IsADirectoryError:
        return EnvFileState("other")
    except files.IrregularFileError as error:
        return EnvFileState("link" if error.errno == errno.ELOOP else "other")
    except OSError as error:
        raise _refused(path, error) from error
    first = content.partition(b"\n")[0].decode(errors="replace")
    ours = first.startswith(HEADER)
    sha256, mode = hashlib.sha256(content).hexdigest(), stat.S_IMODE(status.st_mode)
    if not ours:
        return EnvFileState("foreign", "", sha256, mode)
    return EnvFileState("ours", first, sha256, mode, content.decode(errors="replace"))


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
    if observed.mode != files.FILE_MODE:
        changes.append(Change("env file", "set", f"has mode {observed.mode:04o}, declared is {files.FILE_MODE:04o}"))
    return changes


def _difference(there: str, text: str) -> str:
    """Which declared keys have another value; never a value, and no other line, which may be anything."""
    new = read_back(text)
    old = readable(there, new)
    keys = [key for key in new if old.get(key) != new[key]]
    if not keys:
        return "has other lines than declared"
    named = " and ".join(filter(None, [", ".join(keys[:-1]), keys[-1]]))
    return f"{named} {'differs' if len(keys) == 1 else 'differ'} from what is declared"


def plan_publish(path: Path, text: str) -> list[Change]:
    """`plan` with what is at the path now."""
    return plan(observe(path), text)


def publish(path: Path, text: str) -> list[Change]:
    """Puts the text at the path with mode 0600 and returns what that changed; no reader ever sees a part of it.

    Written beside the path, synced, renamed over it. Only an absent file or one that is ours and of the same stack is
    replaced, and never one whose supplied secret would be replaced by nothing. Raises PublishError; the previous file
    is then unchanged.
    """
    observed = observe(path)
    refusal = _refusal(observed, text)
    if refusal is not None:
        raise PublishError("publish the env file", str(path), *refusal)
    changes = plan(observed, text)
    if changes:
        try:
            with _folder(path) as folder:
                # Under the lock one name is enough, and a killed run leaves at most one file behind.
                files.replace_in(folder, path.name, text.encode("ascii"), f"{path.name}{files.PARTIAL}")
        except OSError as error:
            raise _refused(path, error) from error
    return changes


def remove(path: Path) -> bool:
    """Removes the file if it is ours, and returns whether it did; anything else stays."""
    if observe(path).kind != "ours":
        return False
    path.unlink(missing_ok=True)
    return True


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    """A descriptor of the file's folder, locked against another writer of the same machine."""
    with files.opened(path.parent) as descriptor:
        for attempt in range(LOCK_ATTEMPTS + 1):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == LOCK_ATTEMPTS:
                    raise
                time.sleep(LOCK_PAUSE)
        yield descriptor


def _refusal(observed: EnvFileState, text: str) -> tuple[str, str] | None:
    """Why what is there is not replaced, and what to do about it."""
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
    """Supplied secrets that are there, also in a damaged line, and would be replaced by nothing: they cannot be
    generated again."""
    from dotenv.parser import parse_stream

    bindings = list(parse_stream(StringIO(there)))
    held = {binding.key for binding in bindings if binding.value}
    damaged = "".join(binding.original.string for binding in bindings if binding.error)
    new = readable(text)
    return [key for key in SUPPLIED_KEYS if not new.get(key) and (key in held or key in damaged)]


def _refused(path: Path, error: OSError) -> PublishError:
    hint = f"make {path.parent} a folder that you may write to, or set {ENV_FILE_SETTING}"
    return PublishError("publish the env file", str(path), error.strerror or str(error), hint)
