"""Files that are replaced as a whole: a reader sees the old or the new content, even when the writer is killed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE_MODE = 0o600
"""Of every file that is written here: most hold a secret, and all are for their owner only."""
PARTIAL = ".partial"
"""How the name of a file ends that is not whole yet."""


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
def opened(folder: Path) -> Iterator[int]:
    """A descriptor of the folder. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
