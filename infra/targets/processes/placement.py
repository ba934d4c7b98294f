"""One server's place on this machine: its folder, its port, and the mark that shows both are ours."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from infra import files
from infra.errors import TargetError
from infra.targets import clones, owned_files, ports
from infra.targets import data_root as data_roots
from infra.targets.data_root import MARK, SHARED_FOLDER_MODE
from infra.targets.filesystem_errors import explained
from infra.targets.location import claimant
from infra.targets.locks import exclusive
from infra.targets.machine import APPLIED_FILE, FOLDER_MODE
from infra.targets.ports import PortRequest
from infra.targets.processes import process_records
from infra.targets.processes.system_user import Account, account, ensure, refused_folder

UNHEARD = "never-listened"
"""File in the folder of a server that has not listened on its port yet."""
CONFUSING = '*?[]{}"\\$`'
"""Characters that no path of a server may have."""
LOCK_TIMEOUT = 150.0
"""Seconds to wait for another run that is choosing a port or working on the same server."""


@dataclass(frozen=True)
class Placement:
    """One server's place.

    folder: absolute path. host, port: where it listens. system_user: who runs it; None: the user who runs this package.
    """

    folder: Path
    host: str
    port: int
    system_user: str | None

    @property
    def owner(self) -> Account:
        """The user that owns the server's files. Raises TargetError when that user is gone."""
        return account(self.system_user)

    def sub(self, name: str) -> Path:
        """`data`, `config`, `secrets`, `logs` or `run`."""
        return self.folder / name

    @property
    def record(self) -> Path:
        """The file that names the server's process."""
        return self.sub("run") / "process.json"


@dataclass(frozen=True)
class Mark:
    """The content of circlepay.json: whose folder it is, and what it keeps."""

    stack: str
    project_root: str
    server: str
    host: str
    port: int
    secrets_id: str
    system_user: str | None

    def to_text(self) -> str:
        """The mark as JSON, with a text that explains the folder."""
        return (
            json.dumps(
                {"circlepay": "folder of one server; made by CirclePay infrastructure", **asdict(self)}, indent=2
            )
            + "\n"
        )


def place(
    *,
    data_root: Path,
    clone_id: str,
    stack: str,
    project_root: str,
    spec_name: str,
    host: str,
    requested_port: int | None,
    documented_port: int,
    secrets_id: str,
) -> Placement:
    """Makes the server's folder, or finds the one made before; both mark and port are kept.

    Raises TargetError for a port that is taken, a folder that is not ours, a data root the servers' user cannot enter.
    """
    operation = f"place {spec_name}"
    _refuse_confusing_path(operation, data_root)
    wanted = Mark(stack, project_root, spec_name, host, requested_port or 0, secrets_id, ensure())
    with explained(operation, data_root):
        folder = data_roots.located(data_root) / clone_id / stack / spec_name
        _refuse_closed_path(operation, folder.parent, account(wanted.system_user))
        data_root = data_roots.made(operation, data_root)
        for path in reversed(folder.parents[:2]):
            data_roots.make_folder(path, data_roots.mode())
        with exclusive(data_root / "lock", operation, timeout=LOCK_TIMEOUT):
            found = _read_mark(operation, folder)
            if found is not None:
                _refuse_foreign(operation, folder, found, wanted)
            kept = found.port if found is not None else None
            if kept is not None and _is_lost(folder, host, kept, requested_port):
                kept = None
            if _runs_at(folder, host, requested_port):
                kept = requested_port
            request = PortRequest(
                spec_name, host, requested_port, documented_port, claimant(clone_id, stack, spec_name)
            )
            mark = replace(wanted, port=ports.choose(request, kept, _reserved(folder)))
            if found is None:
                _make_folder(operation, folder, mark)
            elif found != mark:
                owned_files.write(folder / MARK, mark.to_text(), account(None))
    return _placement(folder, mark)


def load(folder: Path) -> Placement | None:
    """The placement whose mark is in the folder, None when there is no marked folder.

    Raises TargetError when the mark is damaged or belongs to another user.
    """
    mark = _read_mark("look at the server's folder", folder, must_be_marked=False)
    return None if mark is None else _placement(folder, mark)


def wants_another_port(placement: Placement) -> bool:
    """Whether its server never ran and another program has taken the port: no client knows the old one yet."""
    return _is_lost(placement.folder, placement.host, placement.port, None)


def has_listened(folder: Path) -> bool:
    """Whether the server ever had its port, so that clients may know it. Folders of earlier releases tell by other files."""
    if process_records.running(folder / "run" / "process.json") is not None:
        return True
    return not (folder / UNHEARD).exists() and any((folder / name).exists() for name in (APPLIED_FILE, "run/spec.json"))


def _runs_at(folder: Path, host: str, port: int | None) -> bool:
    """Whether the folder's own server has that address: one that was brought back there after its move to another failed."""
    record = process_records.running(folder / "run" / "process.json")
    return record is not None and record.endpoint == f"{host}:{port}"


def note_listening(folder: Path) -> None:
    """Its port is the server's from now on, whoever takes it while the server is down."""
    (folder / UNHEARD).unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Deletes the folder with its data, logs and configuration, and what is empty above it.

    Nothing happens when it does not exist. Raises TargetError when it lacks our mark or its server still runs.
    """
    operation = "delete the server's folder"
    if not folder.exists():
        return
    mark = _read_mark(operation, folder, must_be_marked=False)
    if mark is None:
        raise TargetError(operation, str(folder), f"there is no {MARK} in it, so it is not ours", "delete it by hand")
    if (mark.stack, mark.server) != (folder.parent.name, folder.name):
        raise _foreign(operation, folder, f"its {MARK} is that of {mark.server} of stack {mark.stack}")
    with explained(operation, folder), exclusive(folder / "lock", operation, timeout=LOCK_TIMEOUT):
        record = process_records.running(folder / "run" / "process.json")
        if record is not None:
            raise TargetError(
                operation, str(folder), f"its server still runs (pid {record.pid})", "stop it first: make down"
            )
        for item in sorted(
            folder.iterdir(), key=lambda path: path.name == MARK
        ):  # the mark last: a killed delete goes on
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        folder.rmdir()
    for parent in folder.parents[:2]:
        if any(parent.iterdir()):
            break
        parent.rmdir()


def _placement(folder: Path, mark: Mark) -> Placement:
    return Placement(folder, mark.host, mark.port, mark.system_user)


def _refuse_confusing_path(operation: str, path: Path) -> None:
    """Servers expand patterns in paths of their files, and initdb hands the path of its programs to a shell."""
    if not path.is_absolute() or not str(path).isprintable() or set(str(path)) & set(CONFUSING):
        raise TargetError(
            operation,
            repr(str(path)),
            f"the data directory must be an absolute path without any of {CONFUSING} and control characters",
            "set circlepay:processes.dataDirectory",
        )


def _refuse_closed_path(operation: str, path: Path, user: Account) -> None:
    closed = refused_folder(path, user)
    if closed is not None:
        raise TargetError(
            operation,
            str(closed),
            f"the servers' user {user.name} cannot enter this folder, and the data would be below it",
            "set circlepay:processes.dataDirectory to a folder that every user can enter, or run as an ordinary user",
        )


def _read_mark(operation: str, folder: Path, *, must_be_marked: bool = True) -> Mark | None:
    """The folder's mark, None when there is no folder or an empty one. must_be_marked: other content is an error."""
    try:
        text = files.read_text(folder / MARK, owner=0 if os.geteuid() == 0 else None)
    except FileNotFoundError:
        if must_be_marked and folder.is_dir() and any(folder.iterdir()):
            raise _foreign(operation, folder, f"there is something in it, but no {MARK}") from None
        return None
    except files.IrregularFileError as error:
        raise _foreign(operation, folder, f"its {MARK} {error.strerror}") from None
    except (PermissionError, NotADirectoryError, IsADirectoryError):
        raise _foreign(operation, folder, "it belongs to another user of this machine, or is not a folder") from None
    try:
        value: dict[str, Any] = json.loads(text)
        value.pop("circlepay")
        return Mark(**value)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _foreign(operation, folder, f"its {MARK} is damaged") from None


def _foreign(operation: str, folder: Path, cause: str) -> TargetError:
    return TargetError(
        operation,
        str(folder),
        f"this folder is not ours: {cause}",
        "move it away, or set circlepay:processes.dataDirectory to another folder",
    )


def _refuse_foreign(operation: str, folder: Path, found: Mark, wanted: Mark) -> None:
    for name in ("server", "stack", "project_root"):
        if name == "project_root" and clones.is_same(found.project_root, wanted.project_root):
            continue
        if getattr(found, name) != getattr(wanted, name):
            raise _foreign(operation, folder, f"its {name} is {getattr(found, name)}, not {getattr(wanted, name)}")
    if found.system_user != wanted.system_user:
        user = "root" if found.system_user else "an ordinary user"
        raise _foreign(operation, folder, f"it was made by {user}; run as that user")
    if found.secrets_id != wanted.secrets_id:
        raise TargetError(
            operation,
            str(folder),
            "the data in it was made with other secrets than this stack's, so no client could log in",
            "restore the state it was made with, or recover its secrets from the env file: docs/troubleshooting.md, "
            "«The state or the passphrase is lost for good»",
        )


def _is_lost(folder: Path, host: str, kept: int, requested: int | None) -> bool:
    """The port was not requested, the server never ran on it, and another program has it now."""
    return requested is None and not has_listened(folder) and not ports.is_free(host, kept)


def _reserved(own: Path) -> dict[int, str]:
    """Ports that other servers below the same data root keep, running or not, as long as their clone exists -> whose."""
    reserved: dict[int, str] = {}
    for path in own.parents[2].glob(f"*/*/*/{MARK}"):
        if path.parent == own:
            continue
        try:
            mark = _read_mark("look at ports", path.parent, must_be_marked=False)
        except TargetError:
            continue
        if mark is not None and Path(mark.project_root).is_dir():
            owner = f"{mark.server} of stack {mark.stack} in {mark.project_root}"
            reserved[mark.port] = f"this port is reserved for {owner}"
    return reserved


def _make_folder(operation: str, folder: Path, mark: Mark) -> None:
    """The folder appears with its mark in it: one without a mark is never ours."""
    mode = SHARED_FOLDER_MODE if mark.system_user else FOLDER_MODE
    me = account(None)
    for leftover in folder.parent.glob(f".{folder.name}.*.new"):
        shutil.rmtree(leftover)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.new")
    with explained(operation, folder):
        owned_files.make_folder(temporary, me, mode)
        try:
            owned_files.write(temporary / MARK, mark.to_text(), me)
            owned_files.write(temporary / UNHEARD, "", me)
            temporary.rename(folder)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        owned_files.sync_folder(folder.parent)
