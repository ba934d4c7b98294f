"""What every resource type of the provider has in common.

A handler reads facts, plans changes purely and converges. Creating and updating are the same act, so a run that was killed
half-way is finished by the next one; identities are deterministic for the same reason.
"""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from infra.changes import Change, Finding, shown
from infra.errors import CirclePayError

Values = Mapping[str, Any]
"""Properties of a resource as plain Python values, by their camelCase names."""


@dataclass(frozen=True)
class Property:
    """One property of a resource type.

    kind: its JSON type. secret: encrypted in the state, never printed. secret_members: the same for these members of an
    object, whose other members can be read. replaces: a change of it makes a new resource. required: only inputs can be
    optional.
    """

    kind: Literal["string", "integer", "number", "boolean", "object", "array"]
    description: str
    secret: bool = False
    secret_members: tuple[str, ...] = ()
    replaces: bool = False
    required: bool = True


CONNECTION_SECRETS = ("password",)
"""Members of a `connection` property that are secret; where a server listens and who logs in is not."""

COMMON_OUTPUTS: dict[str, Property] = {
    "revision": Property("string", "New at every create and update; what comes later takes it as an input."),
    "changedAt": Property("string", "When it was last created or updated, ISO 8601, UTC; a read never touches it."),
    "changes": Property(
        "array", "What the last create or update changed, with reason, lock, effect and reversibility."
    ),
    "drift": Property("array", "What differed from the declaration when the state was last read; `up` mends it."),
    "findings": Property("array", "What differs and only a decision of yours can settle."),
}


@dataclass(frozen=True)
class Operation:
    """What a handler may use while it works.

    cancelled: set when the run was cancelled; looked at between steps. progress: shows a passing line on the resource.
    warn: leaves a lasting line on the resource.
    """

    cancelled: threading.Event
    progress: Callable[[str], None]
    warn: Callable[[str], None]


@dataclass(frozen=True)
class Converged:
    """What a handler made of its resource: its own outputs, the changes it ran, and what it found but must not change."""

    outputs: Values = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Observed:
    """The resource as it is: changed outputs, the changes that would mend it, and findings (None: as they were)."""

    outputs: Values = field(default_factory=dict)
    drift: list[Change] = field(default_factory=list)
    findings: list[Finding] | None = None


class Handler(ABC):
    """One resource type. Subclasses stay small: the work is done by the modules of the thing itself."""

    token: ClassVar[str]
    inputs: ClassVar[dict[str, Property]]
    outputs: ClassVar[dict[str, Property]] = {}
    stable: ClassVar[frozenset[str]] = frozenset()
    """Outputs that an update never changes, so previews keep them known."""
    fixed: ClassVar[dict[str, str]] = {}
    """Inputs that cannot change once the resource is there -> what to do instead. For what is protected: replacing it is
    refused by Pulumi in its own words, and late."""

    def check(self, inputs: Values) -> dict[str, str]:
        """What is wrong with the inputs, by property; unknown values are not looked at. Touches nothing."""
        return {}

    @abstractmethod
    def identity(self, inputs: Values) -> str:
        """The resource's id: the same inputs always make the same one."""

    @abstractmethod
    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        """What converging would change. Reads at most; must not fail because a server is down."""

    @abstractmethod
    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        """Makes it as declared, whatever is there already, and says what that took."""

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        """The resource as it is, None only when it is positively gone. Must not raise because a server is down."""
        return Observed()

    def delete(self, state: Values, operation: Operation) -> None:
        """Ends the resource; never data, unless the resource is the data."""

    def imported(self, name: str) -> tuple[Values, Values]:
        """Inputs and outputs of what exists under `name`, for `pulumi import`. Raises CirclePayError where there is no need."""
        raise CirclePayError(
            "import",
            f"{self.token} {name}",
            "there is nothing to import: `up` adopts what exists and carries our mark",
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
        "changes": shown(converged.changes),
        "drift": [],
        "findings": [finding.shown() for finding in converged.findings],
    }


def properties_observed(state: Values, observed: Observed) -> dict[str, Any]:
    """A resource's whole state after it was read."""
    return {
        **state,
        **observed.outputs,
        "drift": shown(observed.drift),
        "findings": [finding.shown() for finding in observed.findings]
        if observed.findings is not None
        else state.get("findings", []),
    }
