"""A third product for containers: a spec of its own around a program that the images of the tests have."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from infra.endpoint import Endpoint
from infra.errors import ServerError
from infra.targets.spec import Answer, CredentialsRefused, DataFormat, Packaging, ServerFile, ServerSpec

PORT = 7007


def probe(endpoint: Endpoint, secrets: Mapping[str, str], timeout: float, **_: object) -> Answer:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = redis.Redis(
        endpoint.host, endpoint.port, password=secrets["password"], socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )
    try:
        return Answer(str(client.info("server")["redis_version"]))
    except redis.AuthenticationError as error:
        raise CredentialsRefused("log in to third", str(endpoint), str(error)) from None
    except redis.RedisError as error:
        raise ServerError("log in to third", str(endpoint), str(error)) from None
    finally:
        client.close()


def spec(*, databases: int = 16, note: str = "", initialize: str = "umask 077; echo 7 >{data}/FORMAT") -> ServerSpec:
    """databases: a setting that is only read at the start. note: a line of a file that is read again on a reload."""
    return ServerSpec(
        name="third",
        documented_port=PORT,
        start=("server", "{config}/third.conf"),
        initialize=("sh", "-c", initialize),
        probe="tests.support.container_product:probe",
        packaging=Packaging(programs={"server": ("redis-server",)}, image_user="redis", health=("true",)),
        files=(
            ServerFile(
                "config",
                "third.conf",
                f'port {{port}}\nbind {{host}}\ndir "{{data}}"\nsave ""\ndatabases {databases}\n'
                'include "{secrets}/password.conf"\n',
                restart=True,
            ),
            ServerFile("config", "note", f"{note}\n"),
            ServerFile("secrets", "password.conf", 'requirepass "{secret:password}"\n', restart=True, escaped=True),
            ServerFile("secrets", "initial", "{secret:password}", once=True),
        ),
        data_format=DataFormat("FORMAT", ("server", "--version"), r"v=(\d+)"),
        reload_signal="SIGCONT",  # does nothing to this program, and reaches it
        stop_timeout=10.0,
        start_timeout=20.0,
        restart_key=hashlib.sha256(str(databases).encode()).hexdigest(),
    )
