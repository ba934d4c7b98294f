"""Property values of the Pulumi protocol as plain Python values, and back.

Secrets are unwrapped on the way in (a handler works with plain values) and every one of them is remembered, so that no
error text can carry it out again; on the way out the handler's declaration says which properties are secret.

On the wire a value is a protobuf `Struct`. What JSON has no word for is an object whose member `SIGNATURE` says what it
stands for, and a value that is not known yet is one reserved string (Pulumi's `sdk/go/common/resource/plugin/rpc.go`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import struct_pb2

from infra.provider.handler import Property
from infra.redaction import remember

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""A value that only the coming run will produce."""

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The member that makes an object stand for something else than itself."""

SECRET = "1b47061264138c4ac30d75fd1eb44270"
"""The signature of a secret; its member `value` is what is secret."""


def plain(value: struct_pb2.Value, *, secret: bool = False) -> Any:
    """The value without its wrapping; numbers that are whole become int. Secrets inside are remembered for redaction.

    Raises TypeError for what no property of this provider can be: assets, archives, references to resources.
    """
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "list_value":
        return [plain(item, secret=secret) for item in value.list_value.values]
    if kind == "struct_value":
        return _plain_object(value.struct_value.fields, secret=secret)
    scalar = getattr(value, kind)
    if isinstance(scalar, float) and scalar.is_integer():
        return int(scalar)
    if secret and isinstance(scalar, str) and scalar != UNKNOWN:
        remember(scalar)
    return scalar


def _plain_object(fields: Mapping[str, struct_pb2.Value], *, secret: bool) -> Any:
    if SIGNATURE not in fields:
        return {name: plain(item, secret=secret) for name, item in fields.items()}
    if fields[SIGNATURE].string_value != SECRET:
        raise TypeError("an asset, an archive or a resource is no input of this provider")
    return plain(fields["value"], secret=True)


def plain_map(values: struct_pb2.Struct) -> dict[str, Any]:
    """`plain` for every property."""
    return {name: plain(value) for name, value in values.fields.items()}


def wrapped(value: Any, *, secret: bool = False, secret_members: tuple[str, ...] = ()) -> struct_pb2.Value:
    """A plain value as the protocol's, marked secret as a whole or, of a mapping, in the named members.

    Raises TypeError for what is no JSON value.
    """
    if value is None:
        inner = struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    elif isinstance(value, bool):
        inner = struct_pb2.Value(bool_value=value)
    elif isinstance(value, int | float):
        inner = struct_pb2.Value(number_value=value)
    elif isinstance(value, str):
        inner = struct_pb2.Value(string_value=value)
    elif isinstance(value, Mapping):
        fields = {name: wrapped(item, secret=name in secret_members) for name, item in value.items()}
        inner = struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))
    elif isinstance(value, Sequence):
        inner = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[wrapped(item) for item in value]))
    else:
        raise TypeError(f"a {type(value).__name__} is no output of this provider")
    if not secret:
        return inner
    marked = {SIGNATURE: struct_pb2.Value(string_value=SECRET), "value": inner}
    return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=marked))


def wrapped_map(values: Mapping[str, Any], properties: Mapping[str, Property]) -> struct_pb2.Struct:
    """`wrapped` for every property, secret where its declaration says so; unknown names go out as they are."""
    return struct_pb2.Struct(
        fields={
            name: wrapped(value, secret=properties[name].secret, secret_members=properties[name].secret_members)
            if name in properties
            else wrapped(value)
            for name, value in values.items()
        }
    )


def has_unknown(value: Any) -> bool:
    """Whether the plain value is, or holds at any depth, a value that is not known yet."""
    if isinstance(value, str):
        return value == UNKNOWN
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, Sequence):
        return any(has_unknown(item) for item in value)
    return False
