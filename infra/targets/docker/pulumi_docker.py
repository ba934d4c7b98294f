"""Steps on resources of pulumi-docker, and its errors, as changes and errors of this package: see infra.targets.foreign."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from infra.changes import Effect, ShownChange
from infra.errors import CirclePayError, TargetError
from infra.pulumi_marks import SIGNATURE, UNKNOWN
from infra.redaction import MASK

PREFIX = "docker:index/"
NAME = "pulumi-docker"
KINDS = {"Container": "container", "RemoteImage": "image", "Volume": "volume"}
VERBS = {
    "create": "create",
    "replace": "replace",
    "create-replacement": "replace",
    "update": "update",
    "delete": "remove",
}
ALL_CONNECTIONS = "every connection is closed"
MOST_PROPERTIES = 6
LONGEST_VALUE = 40

DIGEST = "sha256:"
"""How the name of an image begins that has none."""
NAMES = re.compile(r'"([^"]*)"|([^.\[\]"]+)')
"""The parts of a property path as Pulumi writes it: `logOpts["max-size"]`, `ports[0].external`."""

WRAPPING = re.compile(
    r"\s*(?:error: )?(?:(?:creating|updating|deleting|refreshing|reading|diffing) urn:\S+?: )?"
    r"(?:sdk-v2/provider2\.go:\d+: sdk\.helper_schema: )?(?:\d+ errors? occurred:\s*\* )?"
)
"""Prefixes that Pulumi and its bridge add to messages of pulumi-docker."""
ENDING = re.compile(r":?\s*(?:provider=docker@\S+)?\s*$")
NO_ENGINE = re.compile(r"failed to create Docker client|connect to the Docker daemon")
"""Messages of pulumi-docker when it cannot use an engine."""
ENGINE_AT = re.compile(
    r"(?:Docker server, please make sure that |Docker daemon(?: socket)? at )(?P<url>\S+?)[.:]?(?=\s)"
)
"""The engine's URL in such a message."""
PULL = re.compile(
    r".*?unable to pull image (?P<image>\S+): error pulling image \S+: (?:Error response from daemon: )?(?P<cause>.*)",
    re.DOTALL,
)
PULL_HINT = (
    "this image is pinned and no longer on the engine: load it again, or check that its registry is reachable and "
    "circlepay:docker.registries has its login; a new circlepay:docker.imagesAsOf pins what the tag points to now"
)

Values = Mapping[str, Any]


def changes(step: Values, *, gone: bool = False) -> tuple[ShownChange, ...]:
    """What a step on such a resource changes on the engine. gone: it was there, and the last refresh did not find it.

    step: the metadata of an engine event, with `op`, `type`, `old`, `new` and `detailedDiff`.
    """
    kind, verb = _kind(step), VERBS.get(step["op"])
    if verb is None or (kind == "image" and verb == "remove"):  # images stay on the engine
        return ()
    reason = {"create": "is gone" if gone else "is not there yet", "remove": "is not declared any more"}.get(verb)
    stops = kind == "container" and verb in {"replace", "remove"}
    loses = kind == "volume" and verb in {"replace", "remove"}
    return (
        ShownChange(
            subject=subject(step),
            action="get" if kind == "image" else verb,
            reason=reason or "; ".join(differences(step)) or "it differs from what is declared",
            lock=ALL_CONNECTIONS if stops else "none",
            effect=Effect.RESTART if stops else Effect.LIVE,
            reversible=not loses,
        ),
    )


def made(resource: Values) -> ShownChange:
    """What the run that made a resource in the state did. The reason is shown while it runs; the state does not have it."""
    kind = _kind(resource)
    return ShownChange(
        subject=subject({"new": resource, **resource}),
        action="get" if kind == "image" else "create",
        reason="was not there, or not as declared",
        lock="none",
        effect=Effect.LIVE,
        reversible=True,
    )


def subject(step: Values) -> str:
    """`container redis-circlepay`; the resource's own name where the engine's is not known yet."""
    sides = [step.get(side) or {} for side in ("new", "old")]
    known = (side.get(part, {}).get("name") for side in sides for part in ("inputs", "outputs") if side.get(part))
    name = _shortened(next((name for name in known if isinstance(name, str) and name not in ("", UNKNOWN)), ""))
    own = str(step["urn"]).rpartition("::")[2]
    shown = f"{own} {name}" if name.startswith(DIGEST) else name or own
    return f"{_kind(step)} {shown}"


def _kind(step: Values) -> str:
    kind = str(step["type"]).rpartition(":")[2]
    return KINDS.get(kind, kind)


def differences(step: Values) -> list[str]:
    """The properties that differ, with both values where they are short and no secrets."""
    old, new = step.get("old") or {}, step.get("new") or {}
    before = {**(old.get("inputs") or {}), **(old.get("outputs") or {})}
    after = new.get("inputs") or {}
    paths = step.get("detailedDiff") or step.get("diffs") or step.get("keys") or ()
    shown = list(dict.fromkeys(_difference(path, before, after) for path in paths))
    more = len(shown) - MOST_PROPERTIES
    return [*shown[:MOST_PROPERTIES], f"and {more} more"] if more > 0 else shown


def _difference(path: str, before: Values, after: Values) -> str:
    parts: list[str] = [quoted or plain for quoted, plain in NAMES.findall(path)]
    (is_clear, old), (is_clear_too, new) = _found(before, parts), _found(after, parts)
    if not (is_clear and is_clear_too) or any(isinstance(value, dict | list) for value in (old, new)):
        return parts[0]
    return f"{path}: {_value(old)} -> {_value(new)}"


def _found(values: object, parts: list[str]) -> tuple[bool, object]:
    """The value at a path. Not clear is one of several in a list: before and after, they come in different orders."""
    for part in parts:
        if isinstance(values, list):
            if len(values) > 1 or not part.isdigit():
                return False, None
            values = values[int(part)] if int(part) < len(values) else None
        elif isinstance(values, dict) and SIGNATURE not in values:
            values = values.get(part)
        else:
            break
    return True, MASK if isinstance(values, dict) and SIGNATURE in values else values


def _value(value: object) -> str:
    if value is None or value == "":
        return "none"
    if value == UNKNOWN:
        return "known later"
    return _shortened(value) if isinstance(value, str) else json.dumps(value)


def _shortened(text: str) -> str:
    """A digest by its first digits, as the docker command shows it, and anything long by its beginning."""
    text = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", text)
    return text if len(text) <= LONGEST_VALUE or "@sha256:" in text else f"{text[:LONGEST_VALUE]}..."


def is_silent(text: str) -> bool:
    """Whether a message says that pulumi-docker cannot use its engine."""
    return NO_ENGINE.search(text) is not None


def error(text: str, resource: str) -> CirclePayError:
    """The error that this package itself raises for the cause in a message of pulumi-docker."""
    from infra.targets.docker import engine

    text = ENDING.sub("", WRAPPING.sub("", text, count=1))
    pull = PULL.fullmatch(text)
    if pull is not None:
        return TargetError(f"get {resource}", pull["image"], pull["cause"], PULL_HINT)
    if not NO_ENGINE.search(text):
        return engine.refused(NAME, resource, text)
    found = ENGINE_AT.search(f"{text} ")
    if found is None:
        return engine.unreachable(NAME, "the container engine", RuntimeError(text))
    denied = "permission denied" in text.lower()
    cause = PermissionError("Permission denied") if denied else ConnectionRefusedError("Connection refused")
    return engine.unreachable(NAME, found["url"], cause)
