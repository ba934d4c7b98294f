"""Files of a container as the engine's API carries them: tar archives, written and read without running anything."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from infra.files import FILE_MODE
from infra.targets.docker.container_location import User
from infra.targets.machine import FOLDER, FOLDER_MODE, UNREADABLE, FileState

if TYPE_CHECKING:
    from docker import APIClient


def packed(files: Mapping[str, str], folders: tuple[str, ...], owner: User) -> bytes:
    """An archive of the folders and files (path -> content), all of them for the owner only."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for folder in folders:
            archive.addfile(_entry(folder, owner, FOLDER_MODE, tarfile.DIRTYPE))
        for path, content in files.items():
            data = content.encode()
            entry = _entry(path, owner, FILE_MODE, tarfile.REGTYPE)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def _entry(path: str, owner: User, mode: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.uid, entry.gid, entry.mode, entry.type = owner.uid, owner.gid, mode, kind
    return entry


_kept: dict[tuple[str, str], bytes | None] = {}
_guards: dict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)


def fetch_once(api: APIClient, container: str, path: str) -> bytes | None:
    """As `fetch`, once in this process until `forget`: an engine takes long to pack even the smallest archive."""
    key = (container, path)
    with _guards[key]:
        if key not in _kept:
            _kept[key] = fetch(api, container, path)
        return _kept[key]


def forget(container: str) -> None:
    """Drops what was fetched of this container: something is about to change."""
    for key in [key for key in list(_kept) if key[0] == container]:  # a copy: others fetch meanwhile
        _kept.pop(key, None)


def states(content: bytes | None, owner: User) -> dict[str, FileState]:
    """Path below a folder -> state of each file and folder in the folder's archive; empty without one."""
    found: dict[str, FileState] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) if content else _nothing() as archive:
        for entry in archive:
            stream = archive.extractfile(entry) if entry.isreg() else None
            kind = FOLDER if entry.isdir() else UNREADABLE
            content_of = hashlib.sha256(stream.read()).hexdigest() if stream is not None else kind
            whose = "" if entry.uid == owner.uid else f"uid {entry.uid}"
            found[entry.name.partition("/")[2]] = FileState(content_of, entry.mode & 0o7777, whose)
    return found


def _nothing() -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(packed({}, (), User(0, 0))))


def read_text(api: APIClient, container: str, path: str) -> str | None:
    """A small file of a container, running or not; None when it has none of that path."""
    return text_in(fetch(api, container, path))


def text_in(content: bytes | None, path: str = "") -> str | None:
    """A file of an archive, by its path below the archive's folder, or the first one; None when there is none."""
    with tarfile.open(fileobj=io.BytesIO(content)) if content else _nothing() as archive:
        for entry in archive:
            stream = archive.extractfile(entry) if entry.isreg() else None  # a link leads out of the archive
            if stream is not None and (not path or entry.name.partition("/")[2] == path):
                return stream.read().decode(errors="replace")
    return None


def fetch(api: APIClient, container: str, path: str) -> bytes | None:
    """The archive of a path, None when the container has no such path."""
    chunks = _chunks(api, container, path)
    return None if chunks is None else b"".join(chunks)


def is_empty(api: APIClient, container: str, folder: str) -> bool:
    """Whether there is nothing in a folder, or no folder, by the beginning of its archive: there may be terabytes."""
    chunks = _chunks(api, container, folder)
    if chunks is None:
        return True
    with tarfile.open(fileobj=cast("IO[bytes]", _AsTheyAreRead(chunks)), mode="r|") as archive:
        return archive.next() is None or archive.next() is None


@dataclass(frozen=True)
class _AsTheyAreRead:
    """Chunks of an answer as the file of a tar stream, which only reads, and takes whatever length it is given."""

    chunks: Iterator[bytes]

    def read(self, _size: int) -> bytes:
        return next(self.chunks, b"")


def _chunks(api: APIClient, container: str, path: str) -> Iterator[bytes] | None:
    from docker.errors import NotFound

    try:
        chunks: Iterator[bytes] = api.get_archive(container, path)[0]
    except NotFound:
        return None
    return chunks


def mode_of(api: APIClient, container: str, path: str) -> int | None:
    """Permission bits of a file or folder, asked for without its content; None when there is none.

    Raises docker.errors.APIError for every other answer: what cannot be looked at is not known to be absent.
    """
    import requests
    from docker.errors import create_api_error_from_http_exception

    answer = api.head(f"{api.base_url}/v{api.api_version}/containers/{container}/archive", params={"path": path})
    if answer.status_code == requests.codes.not_found:
        return None
    try:
        answer.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)
    status = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
    return int(status["mode"]) & 0o777
