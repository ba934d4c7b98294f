"""What tests of machines that have containers share."""

from __future__ import annotations

import docker
import pytest
from docker.errors import DockerException

from tests.support import engine


@pytest.fixture(scope="module")
def api() -> docker.APIClient:
    """The engine that the docker command asks too; skips where none answers."""
    try:
        client: docker.APIClient = engine.client()
    except DockerException as error:
        pytest.skip(f"needs a Docker engine: as root, tools/prepare-ci-machine.sh ({error})")
    return client
