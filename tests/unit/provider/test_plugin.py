"""The plugin over its own protocol: schema, checks, clear errors, previews that touch nothing, no secret in any text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2

from infra.provider.handler import Property
from infra.provider.resource_types import handlers
from infra.provider.values import plain_map, wrapped_map
from infra.pulumi_marks import UNKNOWN
from infra.version import VERSION

SECRET = "a-secret-of-the-test/with?marks"


def urn(kind: str) -> str:
    return f"urn:pulumi:test::circlepay::circlepay:index:{kind}::thing"


def marshalled(values: dict[str, Any], *secret: str) -> struct_pb2.Struct:
    properties = {name: Property("object", "", secret=True) for name in secret}
    return wrapped_map(values, properties)


def marshalled_connection(inputs: dict[str, Any]) -> struct_pb2.Struct:
    return wrapped_map(inputs, handlers()["circlepay:index:RedisParameters"].properties())


def test_schema_describes_every_resource_type(plugin: Any) -> None:
    schema = json.loads(plugin.GetSchema(provider_pb2.GetSchemaRequest()).schema)
    assert schema["version"] == VERSION
    assert set(schema["resources"]) == {handler.token for handler in handlers().values()}
    for token, resource in schema["resources"].items():
        assert resource["description"], token
        for name, item in resource["properties"].items():
            assert item["description"], f"{token}.{name}"


@pytest.mark.parametrize("handler", handlers().values(), ids=lambda handler: handler.token)
def test_missing_unknown_and_mistyped_inputs_are_refused_by_name(plugin: Any, handler: Any) -> None:
    kind = handler.token.rpartition(":")[2]
    request = provider_pb2.CheckRequest(urn=urn(kind), news=marshalled({"bogus": "x"}))
    failures = {failure.property: failure.reason for failure in plugin.Check(request).failures}
    required = {name for name, item in handler.inputs.items() if item.required}
    assert failures.keys() == required | {"bogus"}
    mistyped = {name: 1.5 for name, item in handler.inputs.items() if item.kind != "number"}
    answer = plugin.Check(provider_pb2.CheckRequest(urn=urn(kind), news=marshalled(mistyped)))
    assert {failure.property for failure in answer.failures} >= mistyped.keys()


def test_unknown_inputs_pass_the_check_and_come_back_unknown(plugin: Any) -> None:
    inputs = {"names": UNKNOWN, "envFile": "/nowhere/.env", "suppliedSecretsFile": "", "production": False}
    answer = plugin.Check(provider_pb2.CheckRequest(urn=urn("GeneratedSecrets"), news=marshalled(inputs)))
    assert not answer.failures
    assert plain_map(answer.inputs)["names"] == UNKNOWN


def test_secrets_are_generated_kept_and_only_added_to(plugin: Any) -> None:
    inputs = {"names": ["secret_key"], "envFile": "/nowhere/.env", "suppliedSecretsFile": "", "production": False}
    created = plugin.Create(provider_pb2.CreateRequest(urn=urn("GeneratedSecrets"), properties=marshalled(inputs)))
    assert created.properties.fields["values"].struct_value.fields.keys() >= {"value"}, (
        "the values must leave as a secret"
    )
    state = plain_map(created.properties)
    more = {**inputs, "names": ["secret_key", "redis_password"]}
    updated = plugin.Update(
        provider_pb2.UpdateRequest(
            urn=urn("GeneratedSecrets"), id=created.id, olds=created.properties, news=marshalled(more)
        )
    )
    after = plain_map(updated.properties)
    assert after["values"]["secret_key"] == state["values"]["secret_key"]
    assert after["values"].keys() == {"secret_key", "redis_password"}
    assert after["secretsId"] == state["secretsId"]
    assert after["revision"] != state["revision"]


def test_preview_touches_nothing_and_leaves_the_revision_unknown(plugin: Any, tmp_path: Path) -> None:
    path = tmp_path / ".env.test"
    inputs = {
        "path": str(path),
        "stack": "test",
        "values": UNKNOWN,
        "suppliedSecretsFile": "",
        "connection": UNKNOWN,
        "migrations": [],
        "verificationFailed": UNKNOWN,
        "upstream": [UNKNOWN],
    }
    request = provider_pb2.CreateRequest(urn=urn("EnvFile"), properties=marshalled(inputs), preview=True)
    properties = plain_map(plugin.Create(request).properties)
    assert properties["revision"] == UNKNOWN
    assert [change["action"] for change in properties["changes"]] == ["write"]
    assert not path.exists()


def test_errors_and_messages_carry_no_secret(plugin: Any, engine: Any) -> None:
    connection = {"host": "127.0.0.1", "port": 1, "user": "", "password": SECRET, "database": ""}
    inputs = {"connection": connection, "parameters": {"maxmemory": SECRET}, "upstream": []}
    request = provider_pb2.CreateRequest(urn=urn("RedisParameters"), properties=marshalled_connection(inputs))
    with pytest.raises(grpc.RpcError) as raised:
        plugin.Create(request)
    details = raised.value.details() or ""
    assert "127.0.0.1" in details
    assert "unexpected" not in details
    for text in (details, *engine[0].messages):
        assert SECRET not in text


def test_a_text_that_would_carry_a_secret_is_redacted(plugin: Any) -> None:
    """An error and a refused property, both of which repeat what they were given."""
    kind = f"Nonsense-{SECRET}"
    known = provider_pb2.CheckRequest(urn=urn("EnvFile"), news=marshalled({"a": kind, "b": SECRET}, "a", "b"))
    plugin.Check(known)
    with pytest.raises(grpc.RpcError) as raised:
        plugin.Check(provider_pb2.CheckRequest(urn=urn(kind), news=marshalled({})))
    details = raised.value.details() or ""
    assert "this provider has no such type" in details
    assert SECRET not in details

    handler = handlers()["circlepay:index:ServerLocation"]
    examples = {"string": "", "integer": 1, "object": {}, "array": []}
    inputs = {name: examples[item.kind] for name, item in handler.inputs.items()} | {"target": "docker"}
    olds, news = ({**inputs, "options": {"suffix": suffix}} for suffix in (SECRET, ""))
    request = provider_pb2.CheckRequest(urn=urn("ServerLocation"), olds=marshalled(olds), news=marshalled(news))
    failures = {failure.property: failure.reason for failure in plugin.Check(request).failures}
    assert "suffix cannot change from" in failures["options"]
    assert SECRET not in failures["options"]


def test_an_unexpected_error_is_named_and_redacted(plugin: Any) -> None:
    broken = {"spec": {"name": SECRET}, "location": {}, "instance": "", "secrets": {"x": SECRET}, "upstream": []}
    request = provider_pb2.CreateRequest(urn=urn("Server"), properties=marshalled(broken, "spec", "secrets"))
    with pytest.raises(grpc.RpcError) as raised:
        plugin.Create(request)
    details = raised.value.details() or ""
    assert "unexpected KeyError" in details
    assert SECRET not in details


def test_drift_and_changed_inputs_make_a_difference_and_nothing_else_does(plugin: Any) -> None:
    inputs = {"names": ["secret_key"], "envFile": "/nowhere/.env", "suppliedSecretsFile": "", "production": False}
    state = {**inputs, "values": {}, "drift": [], "revision": "x"}

    def difference(state: dict[str, Any], inputs: dict[str, Any]) -> Any:
        return plugin.Diff(
            provider_pb2.DiffRequest(
                urn=urn("GeneratedSecrets"), id="x", olds=marshalled(state), news=marshalled(inputs)
            )
        )

    assert difference(state, inputs).changes == provider_pb2.DiffResponse.DIFF_NONE
    drifted = difference({**state, "drift": [{"subject": "x"}]}, inputs)
    assert (drifted.changes, list(drifted.diffs)) == (provider_pb2.DiffResponse.DIFF_SOME, ["drift"])
    changed = difference(state, {**inputs, "names": []})
    assert list(changed.diffs) == ["names"]
    assert not changed.replaces
