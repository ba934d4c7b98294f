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
from infra.settings.model import BUILT_TARGETS, unsupported_target_message
from infra.targets import target as targets
from infra.targets.provisioning import Provisioned, Provisioner, Request
from infra.targets.rendering import filled
from infra.targets.target import Target


@dataclass(frozen=True)
class Servers:
    """Both servers, and who logs in to them. parameters: declared value by name, as each server reports it."""

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
    target, provisioner = _target(stack, credentials)
    parameters = postgres_parameters.declared(settings.postgres)
    postgres = provisioner.provision(
        postgres_server.spec(
            parameters=parameters,
            superuser=settings.postgres.superuser,
            builtin_locale=settings.postgres.locale if settings.postgres.locale_provider == "builtin" else "",
            keeps_output=target.keeps_output,
            isolated=target.isolated,
        ),
        host=settings.postgres.listen_address,
        port=settings.postgres.port,
        secrets={"superuser_password": credentials["superuser_password"]},
    )
    redis_parameters = cache_parameters.declared(settings.redis, keeps_output=target.keeps_output)
    redis = provisioner.provision(
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


def _target(stack: Stack, credentials: Credentials) -> tuple[Target, Provisioner]:
    """Where the stack's servers run. Raises SettingsError for a target that is not built yet."""
    settings = stack.settings
    if settings.target not in BUILT_TARGETS:
        raise SettingsError("deploy", "circlepay:target", unsupported_target_message(settings.target))
    target = targets.load(settings.target)
    request = Request(settings.target, stack.name, stack.project_root, credentials.generated)
    return target, target.provisioner(request, settings.of_target)


def _in_force(declared: dict[str, str], redis: Provisioned) -> pulumi.Output[dict[str, str]]:
    """The settings as CONFIG GET will answer them: the spec's placeholders filled in."""
    return redis.placeholders.apply(
        lambda placeholders: dict(zip(declared, filled(declared.values(), placeholders), strict=True))
    )
