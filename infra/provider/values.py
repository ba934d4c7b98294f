"""Property values of the Pulumi protocol as plain Python values, and back.

Secrets are unwrapped on the way in (a handler works with plain values) and every one of them is remembered, so that no
error text can carry it out again; on the way out the handler's declaration says which properties are secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime import rpc

from infra.provider.handler import Property
from infra.redaction import remember

UNKNOWN: str = rpc.UNKNOWN
"""A value that only the coming run will produce. The SDK cannot marshal its own `Computed`, so this string goes out."""


def plain(value: PropertyValue, *, secret: bool = False) -> Any:
    """The value without its wrapping; numbers that are whole become int. Secrets inside are remembered for redaction."""
    secret = secret or value.is_secret
    inner = value.value
    if isinstance(inner, Computed):
        return UNKNOWN
    if isinstance(inner, str):
        if secret and inner != UNKNOWN:
            remember(inner)
        return inner
    if isinstance(inner, bool) or inner is None:
        return inner
    if isinstance(inner, float):
        return int(inner) if inner.is_integer() else inner
    if isinstance(inner, Mapping):
        return {name: plain(item, secret=secret) for name, item in inner.items()}
    if isinstance(inner, Sequence):
        return [plain(item, secret=secret) for item in inner if isinstance(item, PropertyValue)]
    raise TypeError(f"a {type(inner).__name__} is no input of this provider")


def plain_map(values: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """`plain` for every property."""
    return {name: plain(value) for name, value in values.items()}


def wrapped(value: Any, *, secret: bool = False, secret_members: tuple[str, ...] = ()) -> PropertyValue:
    """A plain value as the protocol's, marked secret as a whole or, of a mapping, in the named members."""
    if isinstance(value, bool) or value is None:
        inner: Any = value
    elif isinstance(value, int | float):
        inner = float(value)
    elif isinstance(value, str):
        inner = str(value)
    elif isinstance(value, Mapping):
        inner = {name: wrapped(item, secret=name in secret_members) for name, item in value.items()}
    elif isinstance(value, Sequence):
        inner = [wrapped(item) for item in value]
    else:
        raise TypeError(f"a {type(value).__name__} is no output of this provider")
    return PropertyValue(inner, is_secret=secret)


def wrapped_map(values: Mapping[str, Any], properties: Mapping[str, Property]) -> dict[str, PropertyValue]:
    """`wrapped` for every property, secret where its declaration says so; unknown names go out as they are."""
    return {
        name: wrapped(value, secret=properties[name].secret, secret_members=properties[name].secret_members)
        if name in properties
        else wrapped(value)
        for name, value in values.items()
    }


def has_unknown(value: Any) -> bool:
    """Whether the plain value is, or holds at any depth, a value that is not known yet."""
    if isinstance(value, str):
        return value == UNKNOWN
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, Sequence):
        return any(has_unknown(item) for item in value)
    return False
