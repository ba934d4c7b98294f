"""A spec made concrete for one place: words of commands and contents of files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from infra.errors import TargetError
from infra.targets.spec import PLACEHOLDERS, ServerFile, ServerSpec

_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r"|secret:[a-z_]+)\}")


def filled(words: Iterable[str], placeholders: Mapping[str, str]) -> list[str]:
    """Words of a command with the placeholders' values. Raises KeyError for one without a value."""
    return [_fill(word, placeholders, escaped=False) for word in words]


def text(file: ServerFile, spec: ServerSpec, placeholders: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    """The file as the server is to read it. Raises TargetError for a secret that is missing or in the wrong folder."""
    values = dict(placeholders)
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


def _fill(text: str, values: Mapping[str, str], *, escaped: bool) -> str:
    def value(match: re.Match[str]) -> str:
        plain = values[match[1]]
        return re.sub(r"[\\\"']", r"\\\g<0>", plain) if escaped else plain

    return _PLACEHOLDER.sub(value, text)
