"""What the events of Pulumi's engine say went wrong, in our words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infra.errors import CirclePayError, SettingsError

SAID_ANYWAY = re.compile(r"(preview|update|refresh|destroy) failed|\d+ errors?( occurred:?)?")
"""What the engine adds to the error that tells the cause."""

OWN_WORDS = re.compile(r"(?P<operation>[^:\n]+): (?P<path>[^\n]*?): (?P<cause>.*?)(\n\s*-> (?P<hint>.*))?", re.DOTALL)
"""A message of this package, see CirclePayError."""

PLUGIN = "pulumi-docker"
BY_PLUGIN = "::docker:index/"
"""In the name (URN) of every resource of pulumi-docker."""
WRAPPING = re.compile(
    r"\s*(?:error: )?(?:(?:creating|updating|deleting|refreshing|reading|diffing) urn:\S+?: )?"
    r"(?:sdk-v2/provider2\.go:\d+: sdk\.helper_schema: )?(?:\d+ errors? occurred:\s*\* )?"
)
"""What Pulumi and its bridge put in front of the words of pulumi-docker."""
ENDING = re.compile(r":?\s*(?:provider=docker@\S+)?\s*$")
NO_ENGINE = re.compile(r"failed to create Docker client|connect to the Docker daemon")
"""How pulumi-docker says that it cannot use an engine."""
ENGINE_AT = re.compile(
    r"(?:Docker server, please make sure that |Docker daemon(?: socket)? at )(?P<url>\S+?)[.:]?(?=\s)"
)
"""How pulumi-docker says that it cannot use an engine."""
PULL = re.compile(
    r".*?unable to pull image (?P<image>\S+): error pulling image \S+: (?:Error response from daemon: )?(?P<cause>.*)",
    re.DOTALL,
)
PULL_HINT = (
    "this image is pinned and not on the engine any more: load it again, or see that its registry can be reached and "
    "circlepay:docker.registries has its login; a new circlepay:docker.imagesAsOf takes what the tag stands for now"
)
NAMED_OPERATIONS = 3
WRONG_PASSPHRASE = "incorrect passphrase"  # noqa: S105 - words of an error
"""Pulumi's words where a stack was encrypted with another one."""


class EngineError(CirclePayError):
    """A run of Pulumi failed, and a part of this package said why."""


def told(events: str) -> list[str]:
    """The error messages among the engine's events, one JSON object a line, each cause once; other lines say nothing."""
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
    """An error's words without what others wrap around them; empty where it only repeats that something failed."""
    text, urn = str(diagnostic.get("message", "")), str(diagnostic.get("urn") or "")
    if BY_PLUGIN in urn:
        return _of_plugin(ENDING.sub("", WRAPPING.sub("", text, count=1)), urn.rpartition("::")[2]).message
    plain = text.strip().removeprefix("error: ").strip()
    return "" if SAID_ANYWAY.fullmatch(plain) else plain


def engine_is_silent(diagnostic: Mapping[str, Any]) -> bool:
    """Whether this is pulumi-docker saying that it cannot use the engine it was told of."""
    is_its_own = BY_PLUGIN in str(diagnostic.get("urn") or "")
    return is_its_own and NO_ENGINE.search(str(diagnostic.get("message", ""))) is not None


def _of_plugin(text: str, resource: str) -> CirclePayError:
    """What pulumi-docker said, as the same error that this package raises for it."""
    from infra.targets.containers import engine

    pull = PULL.fullmatch(text)
    if pull is not None:
        return EngineError(f"get {resource}", pull["image"], pull["cause"], PULL_HINT)
    if not NO_ENGINE.search(text):
        return engine.refused(PLUGIN, resource, text)
    found = ENGINE_AT.search(f"{text} ")
    if found is None:
        return engine.unreachable(PLUGIN, "the container engine", RuntimeError(text))
    denied = "permission denied" in text.lower()
    cause = PermissionError("Permission denied") if denied else ConnectionRefusedError("Connection refused")
    return engine.unreachable(PLUGIN, found["url"], cause)


def wrong_passphrase(stack: str) -> EngineError:
    """The stack's secrets were encrypted with another passphrase."""
    return EngineError(
        "read stack",
        stack,
        "its secrets cannot be decrypted with this passphrase",
        "set PULUMI_CONFIG_PASSPHRASE_FILE to the file holding the passphrase this stack was made with; where neither that nor "
        "PULUMI_CONFIG_PASSPHRASE is set, it is .circlepay/passphrase",
    )


def merged(messages: Iterable[str]) -> list[str]:
    """The messages, each once; those of this package that differ only in what was being done are one."""
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
    """The error of this package that such a message was made of; None when somebody else wrote it."""
    found = OWN_WORDS.fullmatch(message)
    if found is None:
        return None
    kind = SettingsError if found["operation"].startswith("read the settings") else EngineError
    return kind(found["operation"], found["path"], found["cause"].strip(), found["hint"] or "")
