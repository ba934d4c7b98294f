"""Files and folders of the servers: readable by their user only, and replaced as a whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import IO

from infra import files
from infra.targets.machine import FOLDER, FOLDER_MODE, UNREADABLE, FileState
from infra.targets.processes.system_user import Account


def state(path: Path, owner: Account) -> FileState | None:
    """The state of a file or folder, None when there is none. Never follows a link, never waits for a writer."""
    try:
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            return FileState(FOLDER, *_access(status, owner))
        descriptor = files.open_regular(path)
    except FileNotFoundError:
        return None
    except OSError:
        return FileState(UNREADABLE, 0)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        return FileState(hashlib.sha256(stream.read()).hexdigest(), *_access(status, owner))


def write(path: Path, content: str, owner: Account) -> None:
    """Puts a file in place of whatever is there, atomically and durably. Raises OSError."""
    mine = os.geteuid() != 0
    files.replace(path, content.encode(), owner=None if mine else (owner.uid, owner.gid))


def make_folder(path: Path, owner: Account, mode: int = FOLDER_MODE) -> None:
    """Makes the folder, or gives the existing one its mode and owner. Raises OSError; a link is refused."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
    if path.is_symlink() or not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, owner.uid, owner.gid)


def names(folder: Path) -> list[str]:
    """What is in the folder; nothing where there is none, or none that can be read. Never follows a link."""
    try:
        with files.opened(folder, follow=False) as descriptor, os.scandir(descriptor) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def remove(path: Path) -> None:
    """Removes a file, a link, or a folder with all that is in it. What is gone is fine; raises OSError otherwise."""
    with contextlib.suppress(FileNotFoundError), files.opened(path.parent, follow=False) as folder:
        if stat.S_ISDIR(os.lstat(path.name, dir_fd=folder).st_mode):
            shutil.rmtree(path.name, dir_fd=folder)
        else:
            os.unlink(path.name, dir_fd=folder)


def fresh(path: Path) -> IO[bytes]:
    """An empty file for a child's output, in a folder that only the user who runs this package can change."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def sync_folder(folder: Path) -> None:
    """Makes renames in the folder survive a power loss."""
    with files.opened(folder) as descriptor:
        os.fsync(descriptor)


def _access(status: os.stat_result, owner: Account) -> tuple[int, str]:
    return stat.S_IMODE(status.st_mode), "" if status.st_uid == owner.uid else f"uid {status.st_uid}"
