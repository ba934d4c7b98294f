"""Redaction: every secret this process has seen is taken out of every text it lets go."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote

MASK = "[secret]"

SHORTEST = 6
"""Characters. Shorter values ("true", "1") would mask half of every message and protect nothing."""

_seen: set[str] = set()


def remember(secret: str) -> None:
    """From now on `redact` masks this secret, as it is, percent-encoded and JSON-escaped."""
    if len(secret) >= SHORTEST:
        _seen.update({secret, quote(secret, safe=""), json.dumps(secret)[1:-1]})


def redact(text: str) -> str:
    """The text with every remembered secret masked, longest first so that no part of one survives."""
    for secret in sorted(_seen, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


class RedactingFilter(logging.Filter):
    """Masks remembered secrets in log records, arguments and exceptions included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = ()
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
