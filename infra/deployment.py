"""The whole flow, top to bottom.

settings -> server specs -> target runs them -> database objects -> cache settings -> verify -> env file (published last)
"""

from __future__ import annotations

from pathlib import Path

import pulumi

from infra.declarations import cache, credentials, database, env_file, outputs, servers, verification
from infra.declarations.stack import Stack
from infra.settings.model import Settings
from infra.settings.rules import warnings


def deploy(name: str, settings: Settings, project_root: Path) -> outputs.Outputs:
    """Declares the stack and answers its outputs by name.

    Raises SettingsError for a target that is not built yet and for supplied secrets that cannot be used, MigrationError
    for migrations that cannot be applied; nothing was touched then.
    """
    stack = Stack(name, settings, project_root)
    for text in warnings(settings):
        pulumi.log.warn(text)

    secrets = credentials.declare(stack)
    running = servers.declare(stack, secrets)
    objects = database.declare(stack, running, secrets)
    cached = cache.declare(running)

    revisions = [running.postgres.revision, running.redis.revision, *(item.revision for item in (*objects, cached))]
    subject = verification.subject(stack, running, secrets)
    proof = verification.declare(stack, subject, revisions)
    published = env_file.declare(stack, running, secrets, proof, revisions)

    # A network is both servers', and shall tell its findings once.
    of_servers = dict.fromkeys((*running.postgres.resources, *running.redis.resources))
    everything = (secrets.generated, *of_servers, *objects, cached, published)
    return outputs.declare(stack, running, subject, proof, everything)
