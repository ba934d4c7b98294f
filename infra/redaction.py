"""Redaction: every secret known to this process is masked in every text that leaves it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from urllib.parse import quote

MASK = "[secret]"

SHORTEST = 6
"""Characters. Shorter values ("true", "1") would mask half of every message and protect nothing: they are masked only
where they are named."""

_seen: set[str] = set()


def remember(secret: str) -> None:
    """From now on `redact` masks this secret."""
    if len(secret) >= SHORTEST:
        _seen.update(_spellings(secret))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with these secrets and every remembered one masked, longest first so that no part of one survives."""
    named = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
    for spelling in sorted(_seen | named, key=len, reverse=True):
        text = text.replace(spelling, MASK)
    return text


def _spellings(secret: str) -> set[str]:
    """As it is, JSON-escaped, and percent-encoded as URLs have it: whole, with `/` left, and with `~` encoded too."""
    encoded = quote(secret, safe="")
    return {secret, json.dumps(secret)[1:-1], encoded, quote(secret), encoded.replace("~", "%7E")}


class RedactingFilter(logging.Filter):
    """Masks remembered secrets in log records, arguments and exceptions included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = ()
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
