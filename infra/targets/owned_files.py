"""Files and folders of the servers: only their user reads them, and they change as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from pathlib import Path

from infra.targets.system_user import Account

FILE_MODE = 0o600
FOLDER_MODE = 0o700
ABSENT = "absent"
_PARTIAL = ".partial"


def declared_file(content: str) -> str:
    """The state `file_state` reports for a file as it should be."""
    return f"{_digest(content.encode())} {FILE_MODE:04o} owned"


def declared_folder() -> str:
    """The state `folder_state` reports for a folder as it should be."""
    return f"folder {FOLDER_MODE:04o} owned"


def file_state(path: Path, owner: Account) -> str:
    """`<sha256 of the content> <mode> <owned | uid n>`, `absent`, or `unreadable`. Never follows a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ABSENT
    except OSError:
        return "unreadable - -"
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return f"unreadable {_access(status, owner)}"
    with os.fdopen(descriptor, "rb") as stream:
        return f"{_digest(stream.read())} {_access(status, owner)}"


def folder_state(path: Path, owner: Account) -> str:
    """`folder <mode> <owned | uid n>` or `absent`."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return ABSENT
    except OSError:
        return "unreadable - -"
    return f"{'folder' if stat.S_ISDIR(status.st_mode) else 'unreadable'} {_access(status, owner)}"


def difference(observed: str, declared: str, owner: str) -> str:
    """In words, what is wrong with a file or folder; empty when nothing is."""
    if observed == declared:
        return ""
    if observed == ABSENT:
        return "is missing"
    content, mode, ownership = observed.split(" ", 2)
    wanted_content, wanted_mode, _ = declared.split(" ", 2)
    if content == "unreadable":
        return "is something else, or cannot be read"
    if content != wanted_content:
        return "its content is not the declared one"
    if mode != wanted_mode:
        return f"its mode is {mode}, declared {wanted_mode}"
    return f"it belongs to {ownership}, declared {owner}"


def write(path: Path, content: str, owner: Account) -> None:
    """Puts a file in place of whatever is there, atomically and durably. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PARTIAL}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), FILE_MODE)
            _give(stream.fileno(), owner)
            stream.write(content.encode())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(path: Path, owner: Account, mode: int = FOLDER_MODE) -> None:
    """Makes the folder, or gives the existing one its mode and owner. Raises OSError; a link is refused."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
    if path.is_symlink() or not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, owner.uid, owner.gid)


def sweep(folder: Path) -> None:
    """Removes what killed writes left in the folder."""
    for leftover in folder.glob(f".*{_PARTIAL}"):
        leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes renames in the folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give(descriptor: int, owner: Account) -> None:
    if os.geteuid() == 0:
        os.fchown(descriptor, owner.uid, owner.gid)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _access(status: os.stat_result, owner: Account) -> str:
    ownership = "owned" if status.st_uid == owner.uid else f"uid {status.st_uid}"
    return f"{stat.S_IMODE(status.st_mode):04o} {ownership}"
