"""The servers: specs made from the settings, run by the stack's target."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.cache import parameters as cache_parameters
from infra.cache import server as cache_server
from infra.declarations.credentials import Credentials, LoginInput, login
from infra.declarations.stack import Stack
from infra.errors import SettingsError
from infra.postgres import parameters as postgres_parameters
from infra.postgres import server as postgres_server
from infra.settings import Target, unsupported_target_message
from infra.targets.provisioning import ProcessesTarget, Provisioned


@dataclass(frozen=True)
class Servers:
    """Both servers, and who logs in to them. parameters: declared value by name, as each server answers it."""

    postgres: Provisioned
    redis: Provisioned
    superuser: LoginInput
    application: LoginInput
    cache: LoginInput
    postgres_parameters: dict[str, str]
    redis_parameters: pulumi.Output[dict[str, str]]


def declare(stack: Stack, credentials: Credentials) -> Servers:
    """Folders and processes. Raises SettingsError for a target that is not built yet."""
    settings = stack.settings
    if settings.target is not Target.PROCESSES:
        raise SettingsError("deploy", "circlepay:target", unsupported_target_message(settings.target))
    target = ProcessesTarget(stack.name, stack.project_root, settings.processes.data_directory, credentials.generated)
    parameters = postgres_parameters.declared(settings.postgres)
    postgres = target.provision(
        postgres_server.spec(parameters=parameters, superuser=settings.postgres.superuser),
        host=settings.postgres.listen_address,
        port=settings.postgres.port,
        binaries=settings.processes.binaries,
        secrets={"superuser_password": credentials["superuser_password"]},
    )
    redis = target.provision(
        cache_server.spec(parameters=cache_parameters.declared(settings.redis)),
        host=settings.redis.bind,
        port=settings.redis.port,
        binaries=settings.processes.redis_binaries,
        secrets={"password": credentials["redis_password"]},
    )
    own = settings.postgres
    return Servers(
        postgres=postgres,
        redis=redis,
        superuser=login(postgres, credentials["superuser_password"], user=own.superuser, database=own.database),
        application=login(
            postgres, credentials["application_password"], user=own.application_role, database=own.database
        ),
        cache=login(redis, credentials["redis_password"]),
        postgres_parameters=parameters,
        redis_parameters=_in_force(cache_parameters.declared(settings.redis), redis),
    )


def _in_force(declared: dict[str, str], redis: Provisioned) -> pulumi.Output[dict[str, str]]:
    """The settings as CONFIG GET will answer them: the spec's placeholders filled in."""

    def filled(parts: list[str]) -> dict[str, str]:
        port, host, logs = str(int(parts[0])), parts[1], parts[2]
        return {
            name: value.replace("{port}", port).replace("{host}", host).replace("{logs}", logs)
            for name, value in declared.items()
        }

    return pulumi.Output.all(redis.port, redis.host, redis.log_path).apply(filled)
