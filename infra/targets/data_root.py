"""The folder that servers' folders are in. It carries our mark, and what was there before us is never changed.

Standard library only: a purge looks for it where there are no packages.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra import files
from infra.errors import TargetError

MARK = "circlepay.json"
"""In each folder of ours: says what it is."""
NAME = "circlepay"
"""Of the folder that is made in one that was there before."""
FOLDER_MODE = 0o700
SHARED_FOLDER_MODE = 0o711
"""As root: the servers' user passes through folders that root alone may change, and cannot list them."""
CLONE = re.compile(r"[0-9a-f]{10}")
LOCK, PROGRAMS, ADOPTED = "lock", "programs", "adopted"
"""What is in it besides clones. adopted: see infra.targets.clones."""
SETTING = "set circlepay:processes.dataDirectory"
TEXT = json.dumps({"circlepay": "folder of servers; made by CirclePay infrastructure"}, indent=2) + "\n"
_CLONES = "[0-9a-f]" * 10


def default() -> Path:
    """`/var/lib/circlepay` as root, else `$XDG_DATA_HOME/circlepay` (`~/.local/share/circlepay`)."""
    if os.geteuid() == 0:
        return Path("/var/lib/circlepay")
    configured = os.environ.get("XDG_DATA_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".local" / "share"
    return base / "circlepay"


def located(chosen: Path) -> Path:
    """Where our folder is or will be: the chosen one where we made it or will, else one in it. Raises OSError."""
    return chosen if not os.path.lexists(chosen) or is_ours(chosen) else chosen / NAME


def is_ours(folder: Path) -> bool:
    """Whether we made the folder: by its mark, or by what earlier releases, which made none, have in it. Raises OSError."""
    if not folder.is_dir():
        return False
    if _is_marked(folder):
        return True
    names = {path.name for path in folder.iterdir()}
    known = {name for name in names if name in (LOCK, PROGRAMS, ADOPTED) or CLONE.fullmatch(name)}
    return (LOCK in names and names == known) or any(_is_mine(path) for path in folder.glob(f"{_CLONES}/*/*/{MARK}"))


def _is_marked(folder: Path) -> bool:
    return _is_mine(folder / MARK) and _is_mine(folder)


def _is_mine(path: Path) -> bool:
    try:
        status = path.lstat()
    except (FileNotFoundError, PermissionError):
        return False
    return status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode)


def made(operation: str, chosen: Path) -> Path:
    """Our folder at or in the chosen one, made where it is missing. Raises TargetError where it cannot be ours, and OSError."""
    while True:
        found = located(chosen)
        if is_ours(found):
            return found
        if os.path.lexists(found):
            cause = f"it was there before, and has no {MARK} of ours in it"
            raise TargetError(operation, str(found), cause, f"move it away, or {SETTING} to another folder")
        _refuse_shared(operation, found)
        _make(found)


def mode() -> int:
    """Of the folders above the servers'."""
    return SHARED_FOLDER_MODE if os.geteuid() == 0 else FOLDER_MODE


def _refuse_shared(operation: str, found: Path) -> None:
    """As root: whoever may rename a folder on the way can put another in its place, and root would work in that one."""
    if os.geteuid() != 0:
        return
    for folder in found.resolve().parents:
        if not folder.exists():
            continue
        status = folder.stat()
        open_to_all = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
        if status.st_uid != 0 or open_to_all:
            whose = "every user" if open_to_all else f"another user (uid {status.st_uid})"
            raise TargetError(
                operation,
                str(folder),
                f"{whose} can put something else in place of the data below it, which root would then work on",
                f"{SETTING} to a folder below ones that only root can change, or run as that user",
            )


def _make(folder: Path) -> None:
    """The folder appears with its mark in it, or is there already: another run was faster."""
    for path in reversed(folder.parents):
        if not path.exists():
            make_folder(path, mode())
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.new")
    make_folder(temporary, mode())
    try:
        files.replace(temporary / MARK, TEXT.encode())
        temporary.rename(folder)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not folder.is_dir():
            raise


def make_folder(path: Path, permissions: int) -> None:
    """Makes a folder with these permissions, whatever the umask; one that is there stays as it is. Raises OSError."""
    try:
        path.mkdir(mode=permissions)
    except FileExistsError:
        if path.is_symlink() or not path.is_dir():
            raise
    else:
        path.chmod(permissions)


def mark_of(folder: Path) -> Mapping[str, Any] | None:
    """The mark in a server's folder that is this user's; None without one."""
    try:
        value = json.loads(files.read(folder / MARK, owner=os.geteuid()))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, Mapping) and "circlepay" in value else None


def clones(root: Path) -> Iterator[Path]:
    """The folders of clones in it."""
    if root.is_dir():
        yield from (path for path in root.iterdir() if CLONE.fullmatch(path.name) and not path.is_symlink())
