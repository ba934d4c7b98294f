"""Generated secrets: made once, kept as long as the data they protect."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping

from infra.errors import SettingsError

PASSWORD_LENGTH = 32
"""Characters of the URL-safe alphabet, 6 bits each: 192 bits."""
KEY_LENGTH = 64
"""Characters: 384 bits, as much as HS256 and HS384 require of a key (RFC 7518 §3.2)."""

LENGTHS = {
    "superuser_password": PASSWORD_LENGTH,
    "application_password": PASSWORD_LENGTH,
    "redis_password": PASSWORD_LENGTH,
    "secret_key": KEY_LENGTH,
    "jwt_secret_key": KEY_LENGTH,
}
"""Length in characters, by the secret's name."""

NAMES = tuple(LENGTHS)

URL_SAFE = re.compile(r"[A-Za-z0-9_-]*")


def generate(names: Iterable[str] = NAMES) -> dict[str, str]:
    """A new secret for each name, of the URL-safe alphabet, which never needs quoting.

    Raises SettingsError for a name that is not in LENGTHS.
    """
    return {name: _generate(_length(name)) for name in names}


def validate(values: Mapping[str, str]) -> list[str]:
    """What is wrong with supposedly generated secrets, by their names, never their values."""
    problems = [f"{name}: is missing" for name in LENGTHS if name not in values]
    problems += [f"{name}: is not a generated secret" for name in values if name not in LENGTHS]
    for name in sorted(LENGTHS.keys() & values.keys()):
        if len(values[name]) < LENGTHS[name]:
            problems.append(f"{name}: has fewer than {LENGTHS[name]} characters")
        if not URL_SAFE.fullmatch(values[name]):
            problems.append(f"{name}: holds characters outside A-Z a-z 0-9 _ -")
    return problems


def _generate(length: int) -> str:
    """Never starting with `-`, which a command line would take for an option."""
    while True:
        candidate = secrets.token_urlsafe(length)[:length]
        if not candidate.startswith("-"):
            return candidate


def _length(name: str) -> int:
    if name not in LENGTHS:
        raise SettingsError(
            "generate secrets", name, "is not a secret of this package", f"known secrets: {', '.join(LENGTHS)}"
        )
    return LENGTHS[name]
