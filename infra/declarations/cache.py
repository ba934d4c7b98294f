"""The settings in force on the Redis server."""

from __future__ import annotations

from infra.declarations import resources
from infra.declarations.servers import Servers


def declare(servers: Servers) -> resources.RedisParameters:
    """The parameters, dependent on the server."""
    return resources.RedisParameters(
        "redis-parameters",
        {
            "connection": servers.cache,
            "parameters": servers.redis_parameters,
            "upstream": [servers.redis.revision],
        },
    )
