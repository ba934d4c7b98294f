"""Property values on the wire, held against what Pulumi's own SDK writes and reads."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from google.protobuf import struct_pb2
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime import rpc

from infra.provider.handler import Property
from infra.provider.values import has_unknown, plain, plain_map, wrapped, wrapped_map
from infra.pulumi_marks import SECRET, SIGNATURE, UNKNOWN
from infra.redaction import redact

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -7,
    2**53,
    0.25,
    "",
    "값 with \u0000 and \U0001f4b3",
    UNKNOWN,
    [],
    [1, [True, None], {"deep": ["er"]}],
    {},
    {"": 1, "name": {"of": {"a": [{"b": None}]}}},
]


def of_the_sdk(value: Any) -> PropertyValue:
    """The SDK's property value for a plain one."""
    if isinstance(value, dict):
        return PropertyValue({name: of_the_sdk(item) for name, item in value.items()})
    if isinstance(value, list):
        return PropertyValue([of_the_sdk(item) for item in value])
    return PropertyValue(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_written_as_the_sdk_writes_it_and_comes_back(value: Any) -> None:
    assert wrapped(value) == of_the_sdk(value).marshal()
    assert wrapped(value, secret=True) == of_the_sdk(value).with_secret(True).marshal()
    for secret in (False, True):
        back = plain(wrapped(value, secret=secret))
        assert back == value
        assert type(back) is type(value)


def test_the_reserved_words_are_the_sdks() -> None:
    assert (rpc.UNKNOWN, rpc._special_sig_key, rpc._special_secret_sig) == (UNKNOWN, SIGNATURE, SECRET)


def test_only_what_is_declared_secret_leaves_as_a_secret() -> None:
    properties = {
        "values": Property("object", "", secret=True),
        "connection": Property("object", "", secret_members=("password",)),
        "path": Property("string", ""),
    }
    written = wrapped_map(
        {"values": {"a": "b"}, "connection": {"host": "h", "password": "p"}, "path": "/", "other": 1}, properties
    )
    read = PropertyValue.unmarshal_map(written)
    assert {name for name, value in read.items() if value.is_secret} == {"values"}
    members: Any = read["connection"].value
    assert {name: member.is_secret for name, member in members.items()} == {"host": False, "password": True}


def test_a_secret_is_remembered_at_any_depth_and_nothing_else_is() -> None:
    secret = struct_pb2.Struct(
        fields={"x": wrapped({"in": ["remembered-of-values-1"]}, secret=True), "y": wrapped("open-of-values-2")}
    )
    assert plain_map(secret) == {"x": {"in": ["remembered-of-values-1"]}, "y": "open-of-values-2"}
    assert "remembered-of-values-1" not in redact("a remembered-of-values-1 b")
    assert redact("a open-of-values-2 b") == "a open-of-values-2 b"


@pytest.mark.parametrize(
    "value",
    [PropertyValue(pulumi.StringAsset("text")), PropertyValue(pulumi.FileArchive("/nowhere"))],
    ids=["asset", "archive"],
)
def test_what_is_no_plain_value_is_refused(value: PropertyValue) -> None:
    with pytest.raises(TypeError, match="not an input of this provider"):
        plain(value.marshal())
    with pytest.raises(TypeError, match="set is not an output"):
        wrapped({"x": {1}})


def test_unknown_is_found_at_any_depth() -> None:
    assert has_unknown({"a": [{"b": UNKNOWN}]})
    assert not has_unknown({"a": [{"b": "known", UNKNOWN: 1}]})
