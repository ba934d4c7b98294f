"""Error messages from the events of Pulumi's engine, rewritten as messages of this package."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infra.errors import CirclePayError, SettingsError
from infra.targets import foreign

GENERIC_FAILURE = re.compile(r"(preview|update|refresh|destroy) failed|\d+ errors?( occurred:?)?")
"""Messages that the engine adds to the error with the cause."""

OWN_MESSAGE = re.compile(r"(?P<operation>[^:\n]+): (?P<path>[^\n]*?): (?P<cause>.*?)(\n\s*-> (?P<hint>.*))?", re.DOTALL)
"""A message of this package, see CirclePayError."""

NAMED_OPERATIONS = 3
WRONG_PASSPHRASE = "incorrect passphrase"  # noqa: S105 - text of an error
"""Pulumi's message when a stack was encrypted with another passphrase."""


class EngineError(CirclePayError):
    """A run of Pulumi failed with an error of this package or of a plugin."""


def error_messages(events: str) -> list[str]:
    """The error messages among the engine's events (one JSON object per line), each cause once; other lines are ignored."""
    plain = (readable(diagnostic) for diagnostic in _errors(events.splitlines()))
    return merged(message for message in plain if message)


def _errors(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        if not line.startswith("{"):
            continue
        try:
            event: Any = json.loads(line)
        except ValueError:
            continue
        diagnostic = event.get("diagnosticEvent") or {}
        if diagnostic.get("severity") == "error":
            yield diagnostic


def readable(diagnostic: Mapping[str, Any]) -> str:
    """An error's message without the text that others add; empty when it only repeats that something failed."""
    text, urn = str(diagnostic.get("message", "")), str(diagnostic.get("urn") or "")
    found = foreign.of(_type(urn))
    if found is not None:
        return found.error(text, urn.rpartition("::")[2]).message
    plain = text.strip().removeprefix("error: ").strip()
    return "" if GENERIC_FAILURE.fullmatch(plain) else plain


def engine_is_silent(diagnostic: Mapping[str, Any]) -> bool:
    """Whether another provider's plugin reports that the engine of its resources cannot be used."""
    found = foreign.of(_type(str(diagnostic.get("urn") or "")))
    return found is not None and found.is_silent(str(diagnostic.get("message", "")))


def _type(urn: str) -> str:
    """The resource's type in its name; empty where there is none."""
    parts = urn.split("::")
    return parts[2].rpartition("$")[2] if len(parts) > 3 else ""


def wrong_passphrase(stack: str) -> EngineError:
    """The stack's secrets were encrypted with another passphrase."""
    return EngineError(
        "read stack",
        stack,
        "its secrets cannot be decrypted with this passphrase",
        "set PULUMI_CONFIG_PASSPHRASE_FILE to the file holding the passphrase this stack was made with; where neither that nor "
        f"PULUMI_CONFIG_PASSPHRASE is set, it is .circlepay/passphrase-{stack}, which is this stack's alone, or else "
        ".circlepay/passphrase, which is every other stack's",
    )


def merged(messages: Iterable[str]) -> list[str]:
    """The messages without duplicates; errors of this package that differ only in their operation are merged."""
    found: dict[tuple[str, ...], list[str]] = {}
    for message in dict.fromkeys(messages):
        error = own_error(message)
        key = (message,) if error is None else (error.path, error.cause, error.hint)
        found.setdefault(key, []).append("" if error is None else error.operation)
    return [_merged(key, operations) for key, operations in found.items()]


def _merged(key: tuple[str, ...], operations: list[str]) -> str:
    if len(key) == 1:
        return key[0]
    path, cause, hint = key
    distinct = list(dict.fromkeys(operations))
    more = len(distinct) - NAMED_OPERATIONS
    names = ", ".join(distinct[:NAMED_OPERATIONS]) + (f" and {more} more" if more > 0 else "")
    return CirclePayError(names, path, cause, hint).message


def own_error(message: str) -> CirclePayError | None:
    """The error of this package that has this message; None for messages of other programs."""
    found = OWN_MESSAGE.fullmatch(message)
    if found is None:
        return None
    kind = SettingsError if found["operation"].startswith("read the settings") else EngineError
    return kind(found["operation"], found["path"], found["cause"].strip(), found["hint"] or "")
