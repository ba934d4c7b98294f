"""Target `docker`, made from the settings."""

from __future__ import annotations

import os

from infra.cache import server as cache_server
from infra.declarations.credentials import Credentials
from infra.declarations.stack import Stack
from infra.postgres import server as postgres_server
from infra.settings_docker import DockerSettings
from infra.targets.containers import engine
from infra.targets.provisioning_docker import Allowance, DockerTarget, Images
from infra.tunnels import with_configuration

MEBIBYTE = 1024 * 1024
BILLION = 1_000_000_000


def target(stack: Stack, credentials: Credentials) -> DockerTarget:
    """The engine and what the settings say of it. Raises TargetError when there is none, or not for this user."""
    own = stack.settings.docker
    url = with_configuration(engine.locate(own.host, os.environ), own.ssh_config)
    engine.knock(url, "look for the container engine")
    return DockerTarget(
        stack=stack.name,
        project_root=stack.project_root,
        engine=url,
        suffix=own.suffix,
        publish_address=own.publish_address,
        images=Images(own.platform, own.pull_policy, own.images_as_of, _logins(own)),
        log={"max-size": f"{own.log_size}m", "max-file": str(own.log_files)},
        allowances={
            postgres_server.NAME: _allowance(
                own.postgres_image, own.postgres_memory, own.postgres_cpus, own.postgres_pids
            ),
            cache_server.NAME: _allowance(own.redis_image, own.redis_memory, own.redis_cpus, own.redis_pids),
        },
        secrets=credentials.generated,
    )


def _allowance(image: str, memory: int, cpus: float, pids: int) -> Allowance:
    return Allowance(image, {"memory": memory * MEBIBYTE, "nanoCpus": round(cpus * BILLION), "pids": pids})


def _logins(own: DockerSettings) -> dict[str, dict[str, str]]:
    return {
        login.address: {"username": login.username, "password": login.password.get_secret_value()}
        for login in own.registries
    }
