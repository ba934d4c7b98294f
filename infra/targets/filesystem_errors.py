"""Errors of the operating system as TargetErrors that say what to do."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import TargetError
from infra.files import IrregularFileError


@contextmanager
def explained(operation: str, path: Path) -> Iterator[None]:
    """Turns an OSError into a TargetError that names the path and a remedy."""
    try:
        yield
    except OSError as error:
        where = str(error.filename or path)
        raise TargetError(operation, where, cause(error), hint(error.errno, path)) from error


def cause(error: OSError) -> str:
    """The reason in words; of our own errors their own."""
    if isinstance(error, IrregularFileError):
        return str(error.strerror)
    return os.strerror(error.errno).lower() if error.errno else str(error)


def hint(number: int | None, path: Path) -> str:
    """What to do about an error number; empty where only its text can help."""
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"{free_space(path)}; free disk space, then run `up` again: it continues where it stopped"
    if number in (errno.EACCES, errno.EPERM):
        return "run as the user who brought this stack up, or give this user access"
    if number == errno.EROFS:
        return "set circlepay:processes.dataDirectory to a folder that can be written"
    return ""


def free_space(path: Path) -> str:
    """How much space is left where `path` is, or will be."""
    existing = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
    return f"{shutil.disk_usage(existing).free / 2**20:.0f} MiB are free at {existing}"
