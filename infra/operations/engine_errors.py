"""What the events of Pulumi's engine say went wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from infra.errors import CirclePayError, SettingsError

SAID_ANYWAY = re.compile(r"(preview|update|refresh|destroy) failed|\d+ errors?( occurred:?)?")
"""What the engine adds to the error that tells the cause."""

OWN_WORDS = re.compile(r"(?P<operation>[^:\n]+): (?P<path>[^\n]*?): (?P<cause>.*?)(\n\s*-> (?P<hint>.*))?", re.DOTALL)
"""A message of this package, see CirclePayError."""


class EngineError(CirclePayError):
    """A run of Pulumi failed, and a part of this package said why."""


def told(events: str) -> list[str]:
    """The error messages among the engine's events, one JSON object a line, each once; other lines say nothing."""
    plain = (message.strip().removeprefix("error: ").strip() for message in _messages(events.splitlines()))
    return [message for message in dict.fromkeys(plain) if message and not SAID_ANYWAY.fullmatch(message)]


def _messages(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("{"):
            continue
        try:
            event: Any = json.loads(line)
        except ValueError:
            continue
        diagnostic = event.get("diagnosticEvent") or {}
        if diagnostic.get("severity") == "error":
            yield str(diagnostic.get("message", ""))


def own_error(message: str) -> CirclePayError | None:
    """The error of this package that such a message was made of; None when somebody else wrote it."""
    found = OWN_WORDS.fullmatch(message)
    if found is None:
        return None
    kind = SettingsError if found["operation"].startswith("read the settings") else EngineError
    return kind(found["operation"], found["path"], found["cause"].strip(), found["hint"] or "")
