"""What every resource type of the provider has in common.

A handler reads facts, plans changes (pure) and converges. Create and update are the same operation, so the next run
completes one that was killed half-way; identities are deterministic for the same reason.
"""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from infra.changes import Change, Finding, as_dicts
from infra.errors import CirclePayError

Values = Mapping[str, Any]
"""Properties of a resource as plain Python values, by their camelCase names."""


@dataclass(frozen=True)
class Property:
    """One property of a resource type.

    kind: its JSON type. secret: encrypted in the state, never printed. secret_members: the same for these members of an
    object whose other members are not secret. replaces: changing it replaces the resource. required: only inputs can be
    optional.
    """

    kind: Literal["string", "integer", "number", "boolean", "object", "array"]
    description: str
    secret: bool = False
    secret_members: tuple[str, ...] = ()
    replaces: bool = False
    required: bool = True


CONNECTION_SECRETS = ("password",)
"""Members of a `connection` property that are secret; address and user are not."""

COMMON_OUTPUTS: dict[str, Property] = {
    "revision": Property("string", "New at every create and update; dependent resources take it as an input."),
    "changedAt": Property("string", "When it was last created or updated, ISO 8601, UTC; a read does not change it."),
    "changes": Property(
        "array", "What the last create or update changed, with reason, lock, effect and reversibility."
    ),
    "drift": Property("array", "What differed from the declaration when the state was last read; `up` repairs it."),
    "findings": Property("array", "What differs and needs your decision."),
}


@dataclass(frozen=True)
class Operation:
    """The context of a handler's call.

    cancelled: set when the run was cancelled; checked between steps. progress: shows a progress line on the resource.
    warn: leaves a permanent warning on the resource.
    """

    cancelled: threading.Event
    progress: Callable[[str], None]
    warn: Callable[[str], None]


@dataclass(frozen=True)
class Converged:
    """The result of `converge`: the handler's own outputs, the changes it made, and findings it must not change."""

    outputs: Values = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Observed:
    """The result of `observe`: changed outputs, the changes that would repair drift, findings (None: as before)."""

    outputs: Values = field(default_factory=dict)
    drift: list[Change] = field(default_factory=list)
    findings: list[Finding] | None = None


class Handler(ABC):
    """One resource type. Subclasses stay small: the work is done by modules that know nothing of Pulumi."""

    token: ClassVar[str]
    inputs: ClassVar[dict[str, Property]]
    outputs: ClassVar[dict[str, Property]] = {}
    stable: ClassVar[frozenset[str]] = frozenset()
    """Outputs that an update never changes, so they stay known in previews."""

    def check(self, inputs: Values) -> dict[str, str]:
        """What is wrong with the inputs, by property; unknown values are skipped. Changes nothing."""
        return {}

    def unchangeable(self, before: Values, inputs: Values) -> dict[str, str]:
        """Inputs that cannot change once the resource is there -> why, and what to do instead.

        For what is protected: replacing it is refused by Pulumi in its own words, and late.
        """
        return {}

    def modules(self, values: Values) -> Iterable[str]:
        """Modules that this handler imports late and that bring a library, for `protocol` to import beforehand."""
        return ()

    def upgraded(self, values: Values) -> Values:
        """Properties as this release writes them, from what an earlier one may have written."""
        return values

    @abstractmethod
    def identity(self, inputs: Values) -> str:
        """The resource's id: always the same for the same inputs."""

    @abstractmethod
    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        """What converging would change. Only reads; must not fail because a server is down."""

    def foreseen(self, inputs: Values, state: Values) -> Values:
        """Outputs that are known before an update although something changes, beside the stable ones. Pure."""
        return {}

    @abstractmethod
    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        """Brings the resource to its declaration from any state, and returns the changes made."""

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        """The resource as it is; None only when it certainly no longer exists. Must not raise because a server is down."""
        return Observed()

    def delete(self, state: Values, operation: Operation) -> None:
        """Removes the resource; never data, unless the resource is the data."""

    def imported(self, name: str) -> tuple[Values, Values]:
        """Inputs and outputs of an existing resource, for `pulumi import`. Raises CirclePayError for types without import."""
        raise CirclePayError(
            "import",
            f"{self.token} {name}",
            "there is nothing to import: `up` takes up existing objects that carry our mark",
            "run `pulumi up`",
        )

    @classmethod
    def properties(cls) -> dict[str, Property]:
        """Inputs and outputs by name."""
        return {**cls.inputs, **cls.outputs, **COMMON_OUTPUTS}


def properties_after(inputs: Values, converged: Converged) -> dict[str, Any]:
    """A resource's whole state after a create or an update."""
    return {
        **inputs,
        **converged.outputs,
        "revision": uuid.uuid4().hex,
        "changedAt": datetime.now(UTC).isoformat(),
        "changes": as_dicts(converged.changes),
        "drift": [],
        "findings": [finding.as_dict() for finding in converged.findings],
    }


def properties_observed(state: Values, observed: Observed) -> dict[str, Any]:
    """A resource's whole state after it was read."""
    return {
        **state,
        **observed.outputs,
        "drift": as_dicts(observed.drift),
        "findings": [finding.as_dict() for finding in observed.findings]
        if observed.findings is not None
        else state.get("findings", []),
    }
