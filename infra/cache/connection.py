"""A client of a Redis server for what a person or a change asks: redis-py, bounded in time. `wire` is for what every run asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from infra.endpoint import Login

if TYPE_CHECKING:
    from redis import Redis


@contextmanager
def connect(server: Login | str, *, timeout: float = 10.0, client_name: str = "circlepay") -> Iterator[Redis]:
    """A client of a login's server, or of the one that a URL names; closed afterwards.

    timeout: seconds for connecting and for each answer. Raises ValueError for a URL that redis-py cannot read.
    """
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    options: dict[str, Any] = {
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout,
        "client_name": client_name,
        # By default a refused password is retried for seconds, to no avail.
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
    }
    if isinstance(server, str):
        client = Redis.from_url(server, **options)
    else:
        place, user = server.endpoint, server.user or None
        client = Redis(place.host, place.port, username=user, password=server.password, **options)
    with client:
        yield client
