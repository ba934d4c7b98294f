"""The provider's Pulumi schema, derived from the handlers' declarations; `pulumi import` and other tools read it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from infra.provider.handler import Handler, Property

PACKAGE = "circlepay"


def _property(item: Property) -> dict[str, Any]:
    shape: dict[str, Any] = {"type": item.kind, "description": item.description}
    if item.kind == "object":
        shape["additionalProperties"] = {"$ref": "pulumi.json#/Any"}
    if item.kind == "array":
        shape["items"] = {"$ref": "pulumi.json#/Any"}
    if item.secret:
        shape["secret"] = True
    if item.replaces:
        shape["replaceOnChanges"] = True
    return shape


def _resource(handler: Handler) -> dict[str, Any]:
    outputs = handler.properties()
    return {
        "description": (handler.__doc__ or "").strip(),
        "inputProperties": {name: _property(item) for name, item in handler.inputs.items()},
        "requiredInputs": [name for name, item in handler.inputs.items() if item.required],
        "properties": {name: _property(item) for name, item in outputs.items()},
        "required": [name for name, item in outputs.items() if item.required],
    }


def package_schema(handlers: Iterable[Handler], version: str) -> str:
    """The schema as JSON, one resource for each handler."""
    return json.dumps(
        {
            "name": PACKAGE,
            "version": version,
            "description": "PostgreSQL and Redis for CirclePay.",
            "resources": {handler.token: _resource(handler) for handler in handlers},
        }
    )
