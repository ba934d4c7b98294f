"""What a Docker plugin answers, and what the Python package pulumi_docker expects of one, in the same plain terms.

A shape is the name of a scalar, a list holding the shape of its items, or a dictionary of shapes by Pulumi name; a map has
the one name `*`.
"""

from __future__ import annotations

import collections.abc
import inspect
import json
import re
import subprocess
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pulumi
import pulumi_docker
from pulumi import _types as pulumi_types
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

Shape = str | list[Any] | dict[str, Any]

SCALARS: dict[object, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
ANSWER_SECONDS = 30

NOT_IN_TERRAFORM = "Image"
"""Pulumi's own builder of images; it stands in the official plugin's own code, over no Terraform resource."""


class Contract(typing.NamedTuple):
    """Shapes by token: what resources and functions take, and what they give."""

    inputs: dict[str, Shape]
    outputs: dict[str, Shape]


def asked_schema(program: Path) -> dict[str, Any]:
    """The schema a plugin answers over its protocol, without an engine."""
    child = subprocess.Popen(
        [str(program), "127.0.0.1:1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert child.stdout is not None
        with child.stdout, grpc.insecure_channel(f"127.0.0.1:{int(child.stdout.readline())}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            answer = stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=ANSWER_SECONDS)
        schema: dict[str, Any] = json.loads(answer.schema)
        return schema
    finally:
        child.kill()
        child.wait()


def answered(schema: Mapping[str, Any]) -> Contract:
    """What a schema promises."""
    inputs: dict[str, Shape] = {}
    outputs: dict[str, Shape] = {}
    everything = {**schema["resources"], "pulumi:providers:docker": schema["provider"]}
    for token, resource in everything.items():
        inputs[token] = _properties(schema, resource.get("inputProperties"))
        outputs[token] = _properties(schema, resource.get("properties"))
    for token, function in schema["functions"].items():
        inputs[token] = _properties(schema, function["inputs"].get("properties"))
        outputs[token] = _properties(schema, function["outputs"].get("properties"))
    return Contract(inputs, outputs)


def _properties(schema: Mapping[str, Any], properties: Mapping[str, Any] | None) -> dict[str, Shape]:
    return {name: _answered_shape(schema, described) for name, described in (properties or {}).items()}


def _answered_shape(schema: Mapping[str, Any], described: Mapping[str, Any]) -> Shape:
    if "$ref" in described:
        return _properties(schema, schema["types"][described["$ref"].removeprefix("#/types/")].get("properties"))
    if described["type"] == "array":
        return [_answered_shape(schema, described["items"])]
    if described["type"] == "object":
        return {"*": _answered_shape(schema, described["additionalProperties"])}
    return str(described["type"])


def expected() -> Contract:
    """What pulumi_docker sends and reads."""
    inputs: dict[str, Shape] = {}
    outputs: dict[str, Shape] = {}
    for name, found in vars(pulumi_docker).items():
        if inspect.isclass(found) and issubclass(found, pulumi.Resource) and name != NOT_IN_TERRAFORM:
            token = str(getattr(found, "pulumi_type", "")) or "pulumi:providers:docker"
            arguments = getattr(pulumi_docker, f"{name}Args")
            inputs[token] = expected_shape(arguments)
            outputs[token] = {
                key: expected_shape(value) for key, value in pulumi_types.resource_types(found).items() if key != "urn"
            }
        elif inspect.isfunction(found) and name.startswith("get_") and not name.endswith("_output"):
            token = f"docker:index/{_camel(name)}:{_camel(name)}"
            hints = typing.get_type_hints(found)
            result = hints.pop("return").__mro__[1]
            outputs[token] = expected_shape(result)
            inputs[token] = {_camel(key): expected_shape(value) for key, value in hints.items() if key != "opts"}
    return Contract(inputs, outputs)


def expected_shape(annotation: Any) -> Shape:
    """The shape of a type in pulumi_docker, whatever of Input, Output, Optional it is wrapped in."""
    if annotation in SCALARS:
        return SCALARS[annotation]
    if inspect.isclass(annotation) and pulumi_types.is_input_type(annotation):
        fields = pulumi_types.input_type_types(annotation)
        return {name: expected_shape(kind) for name, kind in fields.items()}
    if inspect.isclass(annotation) and pulumi_types.is_output_type(annotation):
        fields = pulumi_types.output_type_types(annotation)
        return {name: expected_shape(kind) for name, kind in fields.items()}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is collections.abc.Sequence or origin is list:
        return [expected_shape(arguments[0])]
    if origin is collections.abc.Mapping or origin is dict:
        return {"*": expected_shape(arguments[1])}
    if origin in {typing.Union, types.UnionType, pulumi.Output}:
        return expected_shape(next(kind for kind in arguments if kind is not type(None)))
    raise AssertionError(f"pulumi_docker has a type that nobody has thought of here: {annotation}")


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def differences(where: str, wanted: Shape, given: Shape) -> list[str]:
    """What is wanted and not given, or given as something else. Given beyond the wanted is no difference."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        missing = [f"{where}.{name} is missing" for name in wanted if name not in given]
        return missing + [
            line
            for name in wanted
            if name in given
            for line in differences(f"{where}.{name}", wanted[name], given[name])
        ]
    if isinstance(wanted, list) and isinstance(given, list):
        return differences(f"{where}[]", wanted[0], given[0])
    return [] if wanted == given else [f"{where} is {_brief(given)}, not {_brief(wanted)}"]


def _brief(shape: Shape) -> str:
    return shape if isinstance(shape, str) else ("a list" if isinstance(shape, list) else "an object")
