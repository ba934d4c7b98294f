"""Property values of the Pulumi protocol as plain Python values, and back.

Secrets are unwrapped in requests (handlers work with plain values) and registered for redaction, so that no error text
can contain them; in responses the handler's declaration says which properties are secret.

On the wire a value is a protobuf `Struct`. A value that JSON cannot express is an object whose member `SIGNATURE` names
its kind; a value that is not known yet is one reserved string (Pulumi's `sdk/go/common/resource/plugin/rpc.go`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import struct_pb2

from infra.provider.handler import Property
from infra.pulumi_marks import SECRET, SIGNATURE, UNKNOWN
from infra.redaction import remember


def plain(value: struct_pb2.Value, *, secret: bool = False) -> Any:
    """The value as plain Python; whole numbers become int. Secrets inside are registered for redaction.

    Raises TypeError for kinds that no property of this provider has: assets, archives, references to resources.
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
        raise TypeError("an asset, an archive or a resource is not an input of this provider")
    return plain(fields["value"], secret=True)


def plain_map(values: struct_pb2.Struct) -> dict[str, Any]:
    """`plain` for every property."""
    return {name: plain(value) for name, value in values.fields.items()}


def wrapped(value: Any, *, secret: bool = False, secret_members: tuple[str, ...] = ()) -> struct_pb2.Value:
    """A plain value as a protocol value, marked secret as a whole or, for a mapping, in the named members.

    Raises TypeError for a value that is not JSON.
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
        raise TypeError(f"a {type(value).__name__} is not an output of this provider")
    if not secret:
        return inner
    marked = {SIGNATURE: struct_pb2.Value(string_value=SECRET), "value": inner}
    return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=marked))


def wrapped_map(values: Mapping[str, Any], properties: Mapping[str, Property]) -> struct_pb2.Struct:
    """`wrapped` for every property, secret where its declaration says so; undeclared names are never secret."""
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
