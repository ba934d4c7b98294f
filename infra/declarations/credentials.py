"""Credentials: from the settings, or generated once and protected like the data they give access to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.credentials.generated import NAMES
from infra.declarations import resources
from infra.declarations.stack import Stack
from infra.endpoint import Endpoint, Login
from infra.settings.model import Environment
from infra.targets.provisioning import Provisioned

LoginInput = dict[str, pulumi.Input[Any]]
"""host, port, via (`ssh://` URL of the machine on which these are valid, or empty), user, password (the only secret),
database."""


@dataclass(frozen=True)
class Credentials:
    """generated: the protected resource. secrets: by name, see generated_secrets.NAMES."""

    generated: resources.GeneratedSecrets
    secrets: Mapping[str, pulumi.Output[str]]

    def __getitem__(self, name: str) -> pulumi.Output[str]:
        return self.secrets[name]


def declare(stack: Stack) -> Credentials:
    """The generated secrets, overridden by those of the settings."""
    settings = stack.settings
    generated = resources.GeneratedSecrets(
        "secrets",
        {
            "names": list(NAMES),
            "envFile": str(stack.env_path),
            "suppliedSecretsFile": stack.supplied_secrets,
            "production": settings.application.environment is Environment.PRODUCTION,
        },
        pulumi.ResourceOptions(protect=True),
    )
    configured = {
        "superuser_password": settings.postgres.superuser_password,
        "application_password": settings.postgres.application_password,
        "redis_password": settings.redis.password,
        "secret_key": settings.application.secret_key,
        "jwt_secret_key": settings.application.jwt_secret_key,
    }

    def chosen(name: str) -> pulumi.Output[str]:
        own = configured[name]
        if own is not None:
            return pulumi.Output.secret(own.get_secret_value())
        return pulumi.Output.secret(generated.values.apply(lambda values: values[name]))

    return Credentials(generated, {name: chosen(name) for name in NAMES})


def login(server: Provisioned, password: pulumi.Output[str], *, user: str = "", database: str = "") -> LoginInput:
    """The login to a server as a `connection` property."""
    return {
        "host": server.host,
        "port": server.port,
        "via": server.via,
        "user": user,
        "password": password,
        "database": database,
    }


def url(written: LoginInput, write: Callable[[Login], str]) -> pulumi.Output[str]:
    """The login as a URL, written by one of env_file's functions."""
    return pulumi.Output.secret(pulumi.Output.all(**written).apply(lambda value: write(plain_login(value))))


def plain_login(value: Mapping[str, Any]) -> Login:
    """A login from resolved outputs; the engine returns ports as floats."""
    return Login(Endpoint(value["host"], int(value["port"])), value["user"], value["password"], value["database"])
