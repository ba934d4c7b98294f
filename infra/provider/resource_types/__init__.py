"""The resource types, one small file each. Handlers import their dependencies late, so that the plugin starts quickly."""

from __future__ import annotations

from infra.provider.handler import Handler


def handlers() -> dict[str, Handler]:
    """Every resource type of the provider, by its token; also by those that earlier releases had for it."""
    from infra.provider import earlier_release
    from infra.provider.resource_types.access import Access
    from infra.provider.resource_types.database import Database
    from infra.provider.resource_types.env_file import EnvFile
    from infra.provider.resource_types.generated_secrets import GeneratedSecrets
    from infra.provider.resource_types.postgres_parameters import PostgresParameters
    from infra.provider.resource_types.redis_parameters import RedisParameters
    from infra.provider.resource_types.schema import Schema
    from infra.provider.resource_types.server import Server
    from infra.provider.resource_types.server_location import ServerLocation
    from infra.provider.resource_types.verification import Verification
    from infra.targets import target

    types: list[Handler] = [
        GeneratedSecrets(),
        ServerLocation(),
        Server(),
        Database(),
        Schema(),
        Access(),
        PostgresParameters(),
        RedisParameters(),
        Verification(),
        EnvFile(),
        *(kind for name in target.names() for kind in target.load(name).resource_types()),
    ]
    found = {handler.token: handler for handler in types}
    return {**found, **earlier_release.former_types(found)}
