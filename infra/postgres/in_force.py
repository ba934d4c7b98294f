"""What a PostgreSQL server has in force that its declared files do not say, asked of the server itself.

Its files show what it would read, not what it has read: a file may have been edited, loaded and put back.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from infra.endpoint import Endpoint
from infra.postgres.facts import Setting

if TYPE_CHECKING:
    from psycopg import Connection

CONFIG = "config/postgresql.conf"
_LINE = re.compile(r"^([a-z_]+) = '?(.*?)'?$", re.MULTILINE)
"""As our template and the declared parameters write it."""
_ESCAPED = re.compile(r"\\(.)|'(')")
_QUESTION = """
SELECT s.name, s.setting, coalesce(s.unit, ''), s.vartype, s.context, s.source, coalesce(s.sourcefile, ''), s.pending_restart
FROM pg_settings s
WHERE s.context = 'postmaster' AND (s.source = 'configuration file' OR s.name = ANY (%s))
ORDER BY s.name
"""
_CHANGED = """
SELECT string_agg(name, ' and ' ORDER BY name)
FROM unnest(ARRAY['config_file', 'hba_file']) AS name, pg_stat_file(current_setting(name), true) AS file
WHERE file.change > pg_conf_load_time()
"""
"""Times of files are whole seconds, rounded down: what is later by them is later."""
_PROTOCOL = 196608  # 3.0
_AUTHENTICATION, _OK = b"R", 0


def reload_reason(connection: Connection[Any], endpoint: Endpoint, superuser: str, timeout: float) -> str:
    """Why it should read its files again, or nothing."""
    row = connection.execute(_CHANGED).fetchone()
    if row and row[0]:
        return f"its {row[0]} was changed after it had read it"
    if _enters_without_password(endpoint, superuser, timeout):
        return f"it lets {superuser} in without a password"
    return ""


def restart_reason(connection: Connection[Any], files: Mapping[str, str]) -> str:
    """What it was started with and only a restart changes, or nothing."""
    declared = dict(_LINE.findall(files[CONFIG]))
    found = (Setting(*row) for row in connection.execute(_QUESTION, [list(declared)]))
    differing = list(_differing(found, declared, f"/{CONFIG}"))
    return f"it was started with other settings than its file's: {', '.join(differing)}" if differing else ""


def _differing(found: Iterator[Setting], declared: Mapping[str, str], own_file: str) -> Iterator[str]:
    from infra.postgres.parameters import same

    for setting in found:
        value = declared.get(setting.name)
        if value is None:
            if setting.file.endswith(own_file):
                yield f"{setting.name} is {setting.value}, not declared"
        elif not same(setting, _ESCAPED.sub(r"\1\2", value)) and _obeys_the_file(setting):
            yield f"{setting.name} is {setting.value}, declared {value}"


def _obeys_the_file(setting: Setting) -> bool:
    """Whether a restart would help: neither an argument of the server nor ALTER SYSTEM overrides the file."""
    if setting.source == "command line":
        return False
    return setting.pending_restart or not setting.file.endswith("/postgresql.auto.conf")


def _enters_without_password(endpoint: Endpoint, user: str, timeout: float) -> bool:
    """Whether the server asks for no password. It logs nothing where it asks and the client leaves."""
    words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", "postgres", ""))
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=timeout) as connection:
            connection.sendall(struct.pack("!ii", 8 + len(words), _PROTOCOL) + words)
            answer = connection.recv(9, socket.MSG_WAITALL)
    except OSError:
        return False
    return answer[:1] == _AUTHENTICATION and struct.unpack("!i", answer[5:9])[0] == _OK
