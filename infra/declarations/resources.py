"""The provider's resource types as seen from a Pulumi program: plain CustomResource subclasses.

Inputs and outputs are documented where they are declared, in `infra/provider/resource_types/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

Inputs = Mapping[str, pulumi.Input[Any]]


class Resource(pulumi.CustomResource):
    """Base of the provider's resources: every one has a revision, its last changes, its drift and its findings."""

    revision: pulumi.Output[str]
    changes: pulumi.Output[list[dict[str, Any]]]
    changedAt: pulumi.Output[str]
    drift: pulumi.Output[list[dict[str, Any]]]
    findings: pulumi.Output[list[dict[str, str]]]

    OUTPUTS: tuple[str, ...] = ()

    def __init__(self, name: str, inputs: Inputs, options: pulumi.ResourceOptions | None = None) -> None:
        outputs = dict.fromkeys((*self.OUTPUTS, "revision", "changedAt", "changes", "drift", "findings"))
        super().__init__(f"circlepay:index:{type(self).__name__}", name, {**outputs, **inputs}, options)


class GeneratedSecrets(Resource):
    """Secrets generated once, protected like the data they belong to."""

    OUTPUTS = ("values", "secretsId")
    values: pulumi.Output[dict[str, str]]
    secretsId: pulumi.Output[str]


class ServerLocation(Resource):
    """Where a server is, and what is its own there; protected."""

    OUTPUTS = ("location", "port")
    location: pulumi.Output[dict[str, Any]]
    port: pulumi.Output[int]


class Server(Resource):
    """A server; deleting it stops it."""

    OUTPUTS = ("running", "version", "programs")
    running: pulumi.Output[bool]
    version: pulumi.Output[str]
    programs: pulumi.Output[str]


class Database(Resource):
    """The database itself."""


class Schema(Resource):
    """Everything the migrations make."""

    OUTPUTS = ("applied",)
    applied: pulumi.Output[list[str]]


class Access(Resource):
    """Roles, grants and default privileges of one database, as one plan."""


class PostgresParameters(Resource):
    """Server parameters of PostgreSQL as they are in force."""


class RedisParameters(Resource):
    """Settings of the Redis server as they are in force."""


class Verification(Resource):
    """A run of the acceptance suite against the live stack."""

    OUTPUTS = ("passed", "failed", "blocking", "at")
    passed: pulumi.Output[int]
    failed: pulumi.Output[int]
    blocking: pulumi.Output[int]
    at: pulumi.Output[str]


class EnvFile(Resource):
    """The application's env file, published only through the gate."""

    OUTPUTS = ("sha256",)
    sha256: pulumi.Output[str]
