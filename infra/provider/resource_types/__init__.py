"""The resource types, one small file each. Handlers import what they need when they need it: the plugin starts quickly."""

from __future__ import annotations

from infra.provider.handler import Handler


def handlers() -> dict[str, Handler]:
    """Every resource type of the provider, by its token."""
    from infra.provider.resource_types.access import Access
    from infra.provider.resource_types.container_contents import ContainerContents
    from infra.provider.resource_types.container_image import ContainerImage
    from infra.provider.resource_types.container_network import ContainerNetwork
    from infra.provider.resource_types.container_place import ContainerPlace
    from infra.provider.resource_types.container_server import ContainerServer
    from infra.provider.resource_types.database import Database
    from infra.provider.resource_types.env_file import EnvFile
    from infra.provider.resource_types.generated_secrets import GeneratedSecrets
    from infra.provider.resource_types.image_pin import ImagePin
    from infra.provider.resource_types.postgres_parameters import PostgresParameters
    from infra.provider.resource_types.redis_parameters import RedisParameters
    from infra.provider.resource_types.schema import Schema
    from infra.provider.resource_types.server import Server
    from infra.provider.resource_types.server_folder import ServerFolder
    from infra.provider.resource_types.verification import Verification

    types: list[Handler] = [
        GeneratedSecrets(),
        ServerFolder(),
        Server(),
        ContainerPlace(),
        ImagePin(),
        ContainerImage(),
        ContainerNetwork(),
        ContainerContents(),
        ContainerServer(),
        Database(),
        Schema(),
        Access(),
        PostgresParameters(),
        RedisParameters(),
        Verification(),
        EnvFile(),
    ]
    return {handler.token: handler for handler in types}
