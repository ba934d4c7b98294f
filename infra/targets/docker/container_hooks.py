"""Hooks of a server's container: one that a killed run made and did not record is removed before it is created again.

pulumi-docker adopts nothing: a name that is taken is an error to it, also when the container is ours. Data and files are
on volumes, so a container of ours can go.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi


def hooks(engine: str, labels: Mapping[str, str]) -> pulumi.ResourceHookBinding:
    """What runs before a server's container is created."""

    def before_create(arguments: pulumi.ResourceHookArgs) -> None:
        name = str((arguments.new_inputs or {}).get("name") or "")
        if name:
            remove(engine, name, labels)

    return pulumi.ResourceHookBinding(before_create=[before_create])


def remove(engine: str, name: str, labels: Mapping[str, str]) -> None:
    """Removes our container of that name, if there is one. Raises TargetError for one of another owner."""
    from infra.targets.docker import one_shot
    from infra.targets.docker.engine import connected
    from infra.targets.docker.ownership import inspected, refuse_foreign

    with connected(engine, f"make container {name}", name) as api:
        found = inspected(api, name)
        if found is not None:
            refuse_foreign(f"make container {name}", "container", name, found["Config"]["Labels"], labels)
            one_shot.stop_and_remove(api, name)
