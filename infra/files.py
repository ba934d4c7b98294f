"""Files that are replaced as a whole, and read without waiting: what is at a path may have been put there by somebody else.

A reader sees the old or the new content, even when the writer is killed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE_MODE = 0o600
"""Of every file that is written here: most hold a secret, and all are for their owner only."""
PARTIAL = ".partial"
"""How the name of a file ends that is not whole yet."""

BEGINNING = 16
LARGEST = 64 * 1024 * 1024
"""Bytes of the largest file that is read whole: far more than any of ours has."""


class IrregularFileError(OSError):
    """What is at a path is no ordinary file, is too large, or belongs to a user that nothing is read from."""


def open_regular(path: Path, *, owner: int | None = None, follow: bool = False) -> int:
    """A descriptor of an ordinary file, to read. Raises OSError; never waits for a writer, and opens no device.

    owner: number of the user that the file must belong to. follow: also where a symbolic link leads.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    _refuse_irregular(path, path.stat(follow_symlinks=follow), owner)
    descriptor = os.open(path, flags)
    try:
        _refuse_irregular(path, os.fstat(descriptor), owner)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_irregular(path: Path, status: os.stat_result, owner: int | None) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise IrregularFileError(errno.ELOOP, "is a symbolic link, which is never followed", str(path))
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise IrregularFileError(errno.EINVAL, "is not an ordinary file", str(path))
    if owner is not None and status.st_uid != owner:
        cause = f"belongs to another user (uid {status.st_uid})"
        raise IrregularFileError(errno.EINVAL, cause, str(path))


def read(path: Path, *, owner: int | None = None, follow: bool = False, largest: int = LARGEST) -> bytes:
    """The content of an ordinary file; see `open_regular`. Raises IrregularFileError also for a larger one."""
    with os.fdopen(open_regular(path, owner=owner, follow=follow), "rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise IrregularFileError(errno.EFBIG, f"is larger than {largest} bytes", str(path))
    return content


def beginning(path: Path) -> bytes:
    """Its first BEGINNING bytes, of a file of any size. Raises OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(BEGINNING)


def read_text(path: Path, *, owner: int | None = None, follow: bool = False, largest: int = LARGEST) -> str:
    """`read` as UTF-8, line ends as they are. Raises OSError and UnicodeDecodeError."""
    return read(path, owner=owner, follow=follow, largest=largest).decode("utf-8")


def replace(path: Path, content: bytes, *, owner: tuple[int, int] | None = None) -> None:
    """Puts a file with this content in place of whatever is at the path, links included, durably. Raises OSError.

    owner: user's and group's number; None is the user of this process.
    """
    with opened(path.parent) as folder:
        replace_in(folder, path.name, content, f".{path.name}.{secrets.token_hex(4)}{PARTIAL}", owner=owner)


def replace_in(folder: int, name: str, content: bytes, partial: str, *, owner: tuple[int, int] | None = None) -> None:
    """`replace` in the folder of a descriptor. partial: the file's name until it is whole, for this writer alone."""
    with suppress(FileNotFoundError):
        os.unlink(partial, dir_fd=folder)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, FILE_MODE)
            if owner is not None:
                os.fchown(descriptor, *owner)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial, dir_fd=folder)
        raise
    os.fsync(folder)


@contextmanager
def opened(folder: Path, *, follow: bool = True) -> Iterator[int]:
    """A descriptor of the folder. Raises OSError. follow: also where a link in its place leads, which its owner may put there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        yield descriptor
    finally:
        os.close(descriptor)
