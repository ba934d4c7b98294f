"""The verification: what the acceptance suite is told, and when it runs again."""

from __future__ import annotations

import json
from typing import Any

import pulumi

from infra import resources
from infra.declarations.credentials import Credentials
from infra.declarations.servers import Servers
from infra.declarations.stack import Stack
from infra.targets.provisioning import Provisioned


def declare(
    stack: Stack, subject: pulumi.Output[str], revisions: list[pulumi.Output[str]]
) -> resources.Verification | None:
    """A run of the suite whenever a revision is new; None where the settings switch it off."""
    if not stack.settings.verify:
        return None
    return resources.Verification("verification", {"subject": subject, "upstream": revisions})


def subject(stack: Stack, servers: Servers, credentials: Credentials) -> pulumi.Output[str]:
    """What the suite looks at (infra.verification.Subject) as JSON; secret, since it holds the credentials it proves."""
    target = str(stack.settings.target)

    def written(parts: dict[str, Any]) -> str:
        servers = {name: {**part, "port": int(part["port"])} for name, part in parts.items()}
        return json.dumps({"target": target, "env_file": None, **servers}, sort_keys=True)

    parts = pulumi.Output.all(
        postgres=_postgres(stack, servers, credentials),
        redis={
            "password": credentials["redis_password"],
            **_place(servers.redis),
            "parameters": servers.redis_parameters,
        },
    )
    return pulumi.Output.secret(parts.apply(written))


def _place(server: Provisioned) -> dict[str, Any]:
    """infra.verification.ServerPlace."""
    return {
        "host": server.host,
        "port": server.port,
        "folder": server.folder,
        "container": server.container,
        "engine": server.engine,
        "places": server.places,
        "limits": server.limits,
        "published": server.published,
        "via": server.via,
        "system_user": server.system_user,
    }


def _postgres(stack: Stack, servers: Servers, credentials: Credentials) -> dict[str, Any]:
    own = stack.settings.postgres
    return {
        "superuser": own.superuser,
        "superuser_password": credentials["superuser_password"],
        "database": own.database,
        "application_role": own.application_role,
        "application_password": credentials["application_password"],
        "owner": own.superuser,
        "encoding": own.encoding,
        "locale": own.locale,
        "locale_provider": own.locale_provider,
        "connection_limit": own.connection_limit,
        "tablespace": own.tablespace,
        **_place(servers.postgres),
        "parameters": servers.postgres_parameters,
        "redundant_indexes_dropped": own.drop_redundant_indexes,
        "public_restricted": own.restrict_public,
    }
