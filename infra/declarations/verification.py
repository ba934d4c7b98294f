"""The verification: the input of the acceptance suite, and when it runs again."""

from __future__ import annotations

import json
from typing import Any

import pulumi

from infra.declarations import resources
from infra.declarations.credentials import Credentials
from infra.declarations.servers import Servers
from infra.declarations.stack import Stack


def declare(
    stack: Stack, subject: pulumi.Output[str], revisions: list[pulumi.Output[str]]
) -> resources.Verification | None:
    """A run of the suite whenever a revision changes; None when the settings disable it."""
    if not stack.settings.verify:
        return None
    return resources.Verification("verification", {"subject": subject, "upstream": revisions})


def subject(stack: Stack, servers: Servers, credentials: Credentials) -> pulumi.Output[str]:
    """The suite's input (infra.verification.subject.Subject) as JSON; secret, since it holds the credentials to check."""

    def written(parts: dict[str, Any]) -> str:
        return json.dumps(
            {"env_file": None, "own_keys": sorted(stack.settings.application.extra), **parts}, sort_keys=True
        )

    parts = pulumi.Output.all(
        postgres=_postgres(stack, servers, credentials),
        redis={
            "password": credentials["redis_password"],
            "location": servers.redis.location,
            "parameters": servers.redis_parameters,
        },
    )
    return pulumi.Output.secret(parts.apply(written))


def _postgres(stack: Stack, servers: Servers, credentials: Credentials) -> dict[str, Any]:
    own = stack.settings.postgres
    return {
        "superuser": own.superuser,
        "superuser_password": credentials["superuser_password"],
        "database": own.database,
        "application_role": own.application_role,
        "application_password": credentials["application_password"],
        "owner": own.owner_role,
        "encoding": own.encoding,
        "locale": own.locale,
        "locale_provider": own.locale_provider,
        "connection_limit": own.connection_limit,
        "tablespace": own.tablespace,
        "location": servers.postgres.location,
        "parameters": servers.postgres_parameters,
        "redundant_indexes_dropped": own.drop_redundant_indexes,
        "public_restricted": own.restrict_public,
        "application_restricted": own.restrict_application,
    }
