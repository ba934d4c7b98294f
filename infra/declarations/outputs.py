"""The stack's outputs, an interface that scripts and people rely on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from infra.declarations import resources
from infra.declarations.credentials import url
from infra.declarations.servers import Servers
from infra.declarations.stack import Stack
from infra.env_file.encoding import database_url, redis_url
from infra.settings.rules import warnings
from infra.targets.provisioning import Provisioned

Outputs = dict[str, pulumi.Output[Any] | list[str] | str]


def declare(
    stack: Stack,
    servers: Servers,
    subject: pulumi.Output[str],
    verification: resources.Verification | None,
    everything: Sequence[resources.Resource],
) -> Outputs:
    """Every output by name; URLs and the verification's subject are secret."""
    own = stack.settings.postgres
    return {
        "databaseUrl": url(servers.application, database_url),
        "adminDatabaseUrl": url(servers.superuser, database_url),
        "redisUrl": url(servers.cache, redis_url),
        "envFile": str(stack.env_path),
        "ownKeys": sorted(stack.settings.application.extra),
        "postgres": _server(
            servers.postgres, database=own.database, applicationRole=own.application_role, superuser=own.superuser
        ),
        "redis": _server(servers.redis, logFile=stack.settings.redis.logfile),
        "verification": _verification(verification),
        "findings": pulumi.Output.all(*(item.findings for item in everything)).apply(
            lambda lists: [finding for found in lists for finding in (found or [])]
        ),
        "warnings": list(warnings(stack.settings)),
        "verificationSubject": subject,
    }


def _server(server: Provisioned, **more: str) -> pulumi.Output[dict[str, Any]]:
    return pulumi.Output.from_input(
        {
            "address": server.host,
            "port": server.port,
            "version": server.version,
            "running": server.running,
            "dataPath": server.placeholders.apply(lambda found: found["data"]),
            "programs": server.programs,
            "location": server.location,
            **more,
        }
    )


def _verification(verification: resources.Verification | None) -> pulumi.Output[dict[str, Any]]:
    if verification is None:
        return pulumi.Output.from_input({"passed": 0, "failed": 0, "at": "skipped by circlepay:verify"})
    return pulumi.Output.from_input(
        {"passed": verification.passed, "failed": verification.failed, "at": verification.at}
    )
