"""What tests of machines that have containers share."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException


@pytest.fixture(scope="module")
def api() -> Iterator[docker.APIClient]:
    """The usual engine; skips where none answers."""
    try:
        client = docker.APIClient(timeout=60)
        client.ping()
    except DockerException as error:
        pytest.skip(f"needs a Docker engine: as root, tools/prepare-ci-machine.sh ({error})")
    yield client
    client.close()
