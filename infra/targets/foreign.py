"""Resources of other providers that a target uses: Pulumi's steps on them, as changes and errors of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from infra.changes import ShownChange
from infra.errors import CirclePayError
from infra.targets import target

Values = Mapping[str, Any]


class Foreign(Protocol):
    """What a target knows of such resources. PREFIX: of their types. NAME: of their provider, as messages give it."""

    PREFIX: str
    NAME: str

    def changes(self, step: Values, *, gone: bool = False) -> tuple[ShownChange, ...]:
        """What a step changes. gone: it was there, and the last refresh did not find it.

        step: the metadata of an engine event, with `op`, `type`, `old`, `new` and `detailedDiff`.
        """

    def made(self, resource: Values) -> ShownChange:
        """What the run that created a resource in the state did."""

    def error(self, text: str, resource: str) -> CirclePayError:
        """The error that this package itself raises for the cause in a message of the provider's plugin."""

    def is_silent(self, text: str) -> bool:
        """Whether a message says that what the resources are on does not answer."""


def known() -> list[Foreign]:
    """Those of every target."""
    return [found for name in target.names() if (found := target.load(name).foreign()) is not None]


def of(kind: str) -> Foreign | None:
    """What is known of resources of a type; None for a type of this package or of Pulumi itself."""
    return next((each for each in known() if kind.startswith(each.PREFIX)), None)
