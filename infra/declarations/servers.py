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
from infra.targets import provisioning
from infra.targets.provisioning import Provisioned
from infra.targets.rendering import filled


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
    """Both servers on the stack's target. Raises SettingsError for a target that is not built yet."""
    settings = stack.settings
    in_container = settings.target is Target.DOCKER
    target = _target(stack, credentials)
    parameters = postgres_parameters.declared(settings.postgres)
    postgres = target.provision(
        postgres_server.spec(parameters=parameters, superuser=settings.postgres.superuser, in_container=in_container),
        host=settings.postgres.listen_address,
        port=settings.postgres.port,
        secrets={"superuser_password": credentials["superuser_password"]},
    )
    redis_parameters = cache_parameters.declared(settings.redis, in_container=in_container)
    redis = target.provision(
        cache_server.spec(parameters=redis_parameters),
        host=settings.redis.bind,
        port=settings.redis.port,
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
        redis_parameters=_in_force(redis_parameters, redis),
    )


def _target(stack: Stack, credentials: Credentials) -> provisioning.Target:
    """Where the stack's servers run. Raises SettingsError for a target that is not built yet."""
    settings = stack.settings
    if settings.target is Target.PROCESSES:
        own = settings.processes
        binaries = {postgres_server.NAME: own.binaries, cache_server.NAME: own.redis_binaries}
        return provisioning.ProcessesTarget(
            stack.name, stack.project_root, own.data_directory, credentials.generated, binaries
        )
    if settings.target is Target.DOCKER:
        # Its SDK is large, and only this target's stacks shall wait for it.
        from infra.declarations import containers

        return containers.target(stack, credentials)
    raise SettingsError("deploy", "circlepay:target", unsupported_target_message(settings.target))


def _in_force(declared: dict[str, str], redis: Provisioned) -> pulumi.Output[dict[str, str]]:
    """The settings as CONFIG GET will answer them: the spec's placeholders filled in."""
    return redis.places.apply(lambda places: dict(zip(declared, filled(declared.values(), places), strict=True)))
