"""Who runs the servers: the user who runs the package, or, as root, a system user of our own."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.errors import TargetError

NAME = "circlepay"
COMMENT = "CirclePay servers"
"""Our mark on the account: one without it is not ours."""

_NAME_TAKEN = 9
"""Exit code of useradd when the name exists: another run was faster."""


@dataclass(frozen=True)
class Account:
    """A user by name and numbers."""

    name: str
    uid: int
    gid: int


def account(name: str | None) -> Account:
    """The named user, or the one who runs this process. Raises TargetError when there is no such user."""
    try:
        entry = pwd.getpwuid(os.geteuid()) if name is None else pwd.getpwnam(name)
    except KeyError:
        wanted = name or f"uid {os.geteuid()}"
        raise TargetError(
            "look up the servers' user", wanted, "this user does not exist on this machine", "run `up` again as root"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def ensure() -> str | None:
    """None for an ordinary user; as root the name of our system user, made when it is missing.

    Raises TargetError when the name belongs to an account that is not ours, or where such a user cannot be made.
    """
    if os.geteuid() != 0:
        return None
    if not _is_ours():
        _make()
    return NAME


def _is_ours() -> bool:
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return False
    if entry.pw_gecos.split(",")[0] != COMMENT:
        raise TargetError(
            "make the servers' user",
            NAME,
            "there is an account of this name that this package did not create",
            f"run as an ordinary user, or hand the account over: usermod --comment '{COMMENT}' {NAME}",
        )
    return True


def _make() -> None:
    useradd = shutil.which("useradd") or shutil.which("useradd", path="/usr/sbin:/sbin")
    if useradd is None:
        raise TargetError(
            "make the servers' user",
            NAME,
            "there is no `useradd` on this machine",
            "run as an ordinary user, not as root",
        )
    options = [
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
        "--shell",
        "/usr/sbin/nologin",
    ]
    command = [useradd, *options, "--comment", COMMENT, NAME]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, _NAME_TAKEN):
        raise TargetError(
            "make the servers' user", NAME, done.stderr.strip() or f"useradd ended with {done.returncode}"
        )
    _is_ours()


def refused_folder(path: Path, user: Account) -> Path | None:
    """The first folder on the way to `path` that the user may not enter, None when there is none or it is root."""
    if user.uid == 0:
        return None
    groups = set(os.getgrouplist(user.name, user.gid))
    for folder in (*reversed(path.resolve().parents), path.resolve()):
        if folder.is_dir() and not _may_enter(folder.stat(), user.uid, groups):
            return folder
    return None


def _may_enter(status: os.stat_result, uid: int, groups: set[int]) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in groups:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
