"""Looks for secrets where none may be: texts, folders, argv and environment of every process on the machine.

Each secret is searched for as it is, percent-encoded, JSON-escaped (twice too: JSON inside JSON), XML-escaped and in
base64 at each of its three alignments. Escapes are undone rather than guessed, since every program escapes something
else. A leak is reported by the secret's name, never by its value.
"""

from __future__ import annotations

import base64
import html
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote_to_bytes

from infra import files

SHORTEST = 8
"""Bytes. Shorter ones turn up by chance, in base64 above all."""
CHUNK = 8 * 2**20
"""Bytes of a file that are looked at together."""
OVERLAP = 64 * 2**10
"""Bytes that two chunks share, far more than an encoded secret takes."""
EVERY_SECRET = frozenset({"*"})
"""For an allow list: a file that may hold all of them."""

Secrets = Mapping[str, str]


@dataclass(frozen=True, order=True)
class Leak:
    """A secret where it may not be. place: path, label, or `argv|environ of PID (program)`."""

    secret: str
    shape: str
    place: str


def find_in_text(text: str | bytes, secrets: Secrets, place: str = "text") -> list[Leak]:
    """Every leak in a text or blob. Raises ValueError for a secret shorter than eight bytes."""
    return [Leak(name, shape, place) for name, shape in sorted(set(_matches(_bytes(text), _patterns(secrets))))]


def find_in_files(
    roots: Iterable[Path], secrets: Secrets, allowed: Mapping[Path, Collection[str]] | None = None
) -> list[Leak]:
    """Every leak in the names and contents of files at or below `roots`; links are not followed.

    allowed: file -> names of the secrets it may hold, EVERY_SECRET for all. Files that vanish are skipped; one
    that cannot be read raises PermissionError, since it was not searched.
    """
    patterns = _patterns(secrets)
    permitted = {path.resolve(): frozenset(names) for path, names in (allowed or {}).items()}
    leaks: set[Leak] = set()
    for path in _files(roots):
        may = permitted.get(path.resolve(), frozenset())
        found = {*_matches(os.fsencode(path), patterns), *_matches_in_file(path, patterns)}
        leaks |= {Leak(name, shape, str(path)) for name, shape in found if may != EVERY_SECRET and name not in may}
    return sorted(leaks)


class ProcessSampler:
    """Watches argv and environment of every process while something runs; a context manager.

    It looks every `interval` seconds, at most for `limit` seconds, so a process shorter than the interval may go
    unseen. `leaks` is complete once the context is left; `looks` says how often it looked.
    """

    def __init__(self, secrets: Secrets, *, interval: float = 0.02, limit: float = 900.0) -> None:
        self._patterns = _patterns(secrets)
        self._interval = interval
        self._limit = limit
        self._stop = threading.Event()
        self._clean: set[bytes] = set()
        self._leaks: set[Leak] = set()
        self._thread = threading.Thread(target=self._watch, name="process sampler", daemon=True)
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    @property
    def leaks(self) -> list[Leak]:
        """What was seen so far."""
        return sorted(self._leaks)

    def _watch(self) -> None:
        deadline = time.monotonic() + self._limit
        while not self._stop.wait(self._interval) and time.monotonic() < deadline:
            self._look()

    def _look(self) -> None:
        self.looks += 1
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                for place, file in (("argv", "cmdline"), ("environ", "environ")):
                    self._look_at(process, place, file)

    def _look_at(self, process: Path, place: str, file: str) -> None:
        try:
            content = (process / file).read_bytes()
        except OSError:  # gone, or another user's
            return
        if content in self._clean:
            return
        found = set(_matches(content, self._patterns))
        if not found:
            self._clean.add(content)
        for name, shape in found:
            self._leaks.add(Leak(name, shape, f"{place} of {process.name} ({_program(process)})"))


def _program(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "gone"


@dataclass(frozen=True)
class _Pattern:
    """One secret: `plain` is searched for after each way of undoing an escape, `encoded` (base64) as it is."""

    name: str
    plain: bytes
    encoded: tuple[bytes, ...]


def _patterns(secrets: Secrets) -> list[_Pattern]:
    short = sorted(name for name, secret in secrets.items() if len(secret.encode()) < SHORTEST)
    if short:
        raise ValueError(f"too short to be searched for: {', '.join(short)}")
    return [_Pattern(name, secret.encode(), tuple(_base64_shapes(secret))) for name, secret in secrets.items()]


def _base64_shapes(secret: str) -> Iterator[bytes]:
    """What base64 makes of the secret, whatever stands before and after it; in both alphabets, percent-encoded too."""
    for text in {secret.encode(), quote(secret, safe="").encode()}:
        for before in range(3):
            encoded = base64.b64encode(b"\0" * before + text)
            # Characters that hold bits of a neighbour as well are left out at both ends.
            own = encoded[(0, 2, 3)[before] : (before + len(text)) * 8 // 6]
            yield own
            yield own.translate(bytes.maketrans(b"+/", b"-_"))


def _matches(content: bytes, patterns: Iterable[_Pattern]) -> Iterator[tuple[str, str]]:
    """(name, shape) of every secret in `content`."""
    unwrapped = content.translate(None, b"\r\n")
    views = list(_views(content))
    for pattern in patterns:
        for shape, view in views:
            if pattern.plain in view:
                yield pattern.name, shape
                break
        if any(shape in unwrapped for shape in pattern.encoded):
            yield pattern.name, "base64"


def _views(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The content as it is, then with each kind of escape undone; only what differs."""
    yield "plain", content
    json_once = _json_unescaped(content) if b"\\" in content else content
    undone: list[tuple[str, Callable[[], bytes]]] = [
        ("percent-encoded", lambda: unquote_to_bytes(content) if b"%" in content else content),
        ("JSON-escaped", lambda: json_once),
        ("JSON-escaped twice", lambda: _json_unescaped(json_once) if b"\\" in json_once else content),
        ("JSON-escaped and percent-encoded", lambda: unquote_to_bytes(json_once) if b"%" in json_once else content),
        ("XML-escaped", lambda: _xml_unescaped(content) if b"&" in content else content),
    ]
    for shape, undo in undone:
        view = undo()
        if view is not content:
            yield shape, view


_JSON_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_JSON_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}


def _json_unescaped(content: bytes) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return chr(int(match[1], 16)).encode(errors="replace")
        return _JSON_LETTERS.get(match[2], match[2])

    return _JSON_ESCAPE.sub(plain, content)


def _xml_unescaped(content: bytes) -> bytes:
    return html.unescape(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _matches_in_file(path: Path, patterns: Collection[_Pattern]) -> Iterator[tuple[str, str]]:
    try:
        with os.fdopen(files.open_regular(path, follow=True), "rb") as file:
            before = b""
            while chunk := file.read(CHUNK):
                yield from _matches(before + chunk, patterns)
                before = chunk[-OVERLAP:]
    except (FileNotFoundError, files.IrregularFileError):
        return


def _files(roots: Iterable[Path]) -> Iterator[Path]:
    """Regular files at or below `roots`; sockets, pipes and links are none. Raises PermissionError."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for root in roots:
        if root.is_file():
            yield root
            continue
        for folder, _, names in os.walk(root, onerror=refuse):
            yield from (path for path in (Path(folder) / name for name in names) if _is_regular(path))


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
