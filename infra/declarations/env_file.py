"""The env file, published last and only after the publish gate."""

from __future__ import annotations

from typing import Any

import pulumi
from pydantic import SecretStr

from infra.declarations import resources
from infra.declarations.credentials import Credentials, plain_login
from infra.declarations.servers import Servers
from infra.declarations.stack import Stack
from infra.env_file.encoding import database_url, redis_url


def declare(
    stack: Stack,
    servers: Servers,
    credentials: Credentials,
    verification: resources.Verification | None,
    revisions: list[pulumi.Output[str]],
) -> resources.EnvFile:
    """The file, dependent on everything it describes and on the verification. Raises MigrationError."""
    proof = [verification.revision] if verification else []
    return resources.EnvFile(
        "env-file",
        {
            "path": str(stack.env_path),
            "stack": stack.name,
            "values": _values(stack, servers, credentials),
            "extra": pulumi.Output.secret(stack.settings.application.plain_extra),
            "suppliedSecretsFile": stack.supplied_secrets,
            "connection": servers.superuser,
            "migrations": stack.migrations,
            "verificationFailed": verification.blocking if verification else 0,
            "upstream": [*revisions, *proof],
        },
    )


def _values(stack: Stack, servers: Servers, credentials: Credentials) -> pulumi.Output[dict[str, str]]:
    """Every documented key; those of Circle are empty when they come from the supplied secrets file."""
    own = stack.settings.application

    def values(parts: dict[str, Any]) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url(plain_login(parts["application"])),
            "REDIS_URL": redis_url(plain_login(parts["cache"])),
            "SECRET_KEY": parts["secret_key"],
            "JWT_SECRET_KEY": parts["jwt_secret_key"],
            "CIRCLE_SANDBOX_API_KEY": _plain(own.circle_sandbox_api_key),
            "CIRCLE_ENTITY_SECRET": _plain(own.circle_entity_secret),
            "ENVIRONMENT": str(own.environment),
            "DEBUG": "true" if own.effective_debug else "false",
            "LOG_LEVEL": own.effective_log_level,
        }

    parts = pulumi.Output.all(
        application=pulumi.Output.all(**servers.application),
        cache=pulumi.Output.all(**servers.cache),
        secret_key=credentials["secret_key"],
        jwt_secret_key=credentials["jwt_secret_key"],
    )
    return pulumi.Output.secret(parts.apply(values))


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
