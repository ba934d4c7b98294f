"""Types that earlier releases had: a location and a server of its own for each target, where there is one for all now."""

from __future__ import annotations

from infra.provider.handler import Handler
from infra.targets import target


def former_types(handlers: dict[str, Handler]) -> dict[str, Handler]:
    """Types that such releases had -> the handlers that take their place."""
    pairs = [pair for kind in target.names() for pair in target.load(kind).former_types.items()]
    return {f"circlepay:index:{old}": handlers[f"circlepay:index:{new}"] for old, new in pairs}
