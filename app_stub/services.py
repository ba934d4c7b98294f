"""Connections to both services, made from the env file's URLs."""

from __future__ import annotations

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from app_stub.environment import Environment

TIMEOUT = 5
"""Seconds to wait for a connection or an answer: a health check that hangs is worse than one that fails."""


def database(environment: Environment) -> Engine:
    """An engine on DATABASE_URL. Raises sqlalchemy.exc.ArgumentError when it is not a URL."""
    url = make_url(environment.database_url).set(drivername="postgresql+psycopg")
    return create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"connect_timeout": TIMEOUT, "application_name": "circlepay-app-stub"},
    )


def cache(environment: Environment) -> Redis:
    """A client on REDIS_URL without retries: a server that is down is reported at once. Raises ValueError on a bad URL."""
    return Redis.from_url(
        environment.redis_url,
        decode_responses=True,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
