"""The env file's text: values to lines and back, and the URLs in it.

What is written is read the same by python-dotenv (as it is by default, with interpolation) and by a POSIX shell
(`set -a; . ./.env.local`). `docker run --env-file` knows no quotes: generated values and URLs need none, a supplied
value with characters outside `[A-Za-z0-9_./:@%+,=-]` does, and cannot be used with it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from io import StringIO
from urllib.parse import quote

from infra.endpoint import Login
from infra.errors import PublishError

HEADER = "# Written by CirclePay infrastructure"

SECTIONS: dict[str, tuple[str, ...]] = {
    "Database and cache": ("DATABASE_URL", "REDIS_URL"),
    "Security keys": ("SECRET_KEY", "JWT_SECRET_KEY"),
    "Circle API (supplied, never generated)": ("CIRCLE_SANDBOX_API_KEY", "CIRCLE_ENTITY_SECRET"),
    "Environment": ("ENVIRONMENT", "DEBUG", "LOG_LEVEL"),
}
"""The documented keys in the documented order."""

KEYS = tuple(key for keys in SECTIONS.values() for key in keys)

SPELLED = {"$": "ENV_FILE_DOLLAR", "`": "ENV_FILE_BACKTICK", "": "ENV_FILE_NOTHING"}
"""Characters that no quoting writes the same for a shell and for dotenv: values with them refer to these names.

The empty one ends a value whose last character is a backslash, which dotenv before 1.2 takes for an escaped quote.
"""

RESERVED_KEYS = frozenset({*KEYS, *SPELLED.values()})
"""Names that no key of the stack's own may have."""

EXTRA_TITLE = "Set by circlepay:application.extra"


def database_url(login: Login) -> str:
    """`postgresql://user:password@host:port/database`, percent-encoded."""
    return (
        f"postgresql://{_encoded(login.user)}:{_encoded(login.password)}@{_address(login)}/{_encoded(login.database)}"
    )


def redis_url(login: Login) -> str:
    """`redis://user:password@host:port/0`, percent-encoded; a login without a user is that of Redis' own user `default`.

    It is named because redis-cli sends an empty name as one since 6.2, and is refused.
    """
    return f"redis://{_encoded(login.user or 'default')}:{_encoded(login.password)}@{_address(login)}/0"


def encode(values: Mapping[str, str], stack: str = "", extra: Mapping[str, str] | None = None) -> str:
    """The file's text. values: every documented key, none else. extra: keys of the stack's own.

    Raises PublishError naming the key, never its value: one is missing or unknown, or a value is not printable ASCII.
    """
    own = extra or {}
    _check(values, own)
    bodies = {key: _quoted(value) for key, value in (*values.items(), *own.items())}
    lines = [header(stack), "# Do not edit: the next `up` puts it back. Change the settings of the stack instead."]
    spelled = [
        f"{name}='{text}'" for text, name in SPELLED.items() if any(f"${{{name}}}" in body for body in bodies.values())
    ]
    if spelled:
        lines += ["", "# Characters that shells and dotenv quote differently", *spelled]
    for title, keys in (*SECTIONS.items(), *([(EXTRA_TITLE, tuple(sorted(own)))] if own else [])):
        lines += ["", f"# {title}", *(f"{key}={bodies[key]}" for key in keys)]
    return "\n".join(lines) + "\n"


def header(stack: str = "") -> str:
    """The first line, which marks the file as ours and as this stack's."""
    return f"{HEADER} for the stack {stack}." if stack else f"{HEADER}."


def read_back(text: str) -> dict[str, str]:
    """The values as python-dotenv reads them, with nothing from the environment of this process.

    Raises PublishError when the text holds a line that dotenv cannot read.
    """
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    bindings = list(parse_stream(StringIO(text)))
    names = [binding.key for binding in bindings if binding.key]
    for binding in bindings:
        if binding.error:
            raise PublishError("read the env file", f"line {binding.original.line}", "is not KEY=value")
        if binding.key and names.count(binding.key) > 1:
            raise PublishError("read the env file", binding.key, "is defined twice")
    values = dotenv_values(stream=StringIO(text))
    return {name: value or "" for name, value in values.items() if name not in SPELLED.values()}


def readable(text: str, names: Collection[str] = KEYS) -> dict[str, str]:
    """As `read_back`, these names of a text that may have been edited: lines that dotenv cannot read are skipped."""
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    readable = "".join(binding.original.string for binding in parse_stream(StringIO(text)) if not binding.error)
    values = dotenv_values(stream=StringIO(readable))
    return {key: values.get(key) or "" for key in names if key in values}


def _check(values: Mapping[str, str], extra: Mapping[str, str]) -> None:
    for key in sorted({*KEYS, *values}):
        if key not in values:
            raise PublishError("write the env file", key, "is missing")
        if key not in KEYS:
            raise PublishError("write the env file", key, f"is not one of {', '.join(KEYS)}")
    for key, value in (*values.items(), *extra.items()):
        if key in extra and (key in RESERVED_KEYS or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key)):
            raise PublishError("write the env file", key, "cannot be a key of the stack's own")
        if not (value.isascii() and value.isprintable()):
            raise PublishError("write the env file", key, "must be printable ASCII characters only")


def _quoted(value: str) -> str:
    """The value as written after `KEY=`, quoted only where it must be."""
    if re.fullmatch(r"[A-Za-z0-9_./:@%+,=\[\]-]*", value):
        return value
    if "'" not in value and "\\" not in value and "${" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    spelled = re.sub(r"[$`]", lambda found: f"${{{SPELLED[found[0]]}}}", escaped)
    return f'"{spelled}${{{SPELLED[""]}}}"' if value.endswith("\\") else f'"{spelled}"'


def _encoded(text: str) -> str:
    """Percent-encoded down to letters, digits, `_`, `.` and `-`; `~` too, which shells expand after a colon."""
    return quote(text, safe="").replace("~", "%7E")


def _address(login: Login) -> str:
    host = f"[{login.endpoint.host}]" if ":" in login.endpoint.host else login.endpoint.host
    return f"{host}:{login.endpoint.port}"
