"""Restarts a server in its container, as the last `up` declared it: that is in the stack's state, secrets in its outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from infra.operations import stack as stacks
from infra.operations.container_logs import inspected_or_refused
from infra.operations.stack import ServerView, StackView
from infra.targets.spec import ServerSpec

if TYPE_CHECKING:
    from docker import APIClient

    from infra.targets.containers.running import Work

RESOURCE = "circlepay:index:ContainerServer"


def run(
    view: StackView, server: ServerView, secrets: Mapping[str, str], progress: Callable[[str], None]
) -> tuple[str, str]:
    """Stops the server in its own orderly way and starts it again; its version, or why it does not answer.

    Raises StackError when the state does not know the server, and TargetError without its container or when it does not
    stop or come up.
    """
    from infra.targets.containers import contents, running
    from infra.targets.containers.engine import connected

    inputs = applied(view, server.name)
    with connected(inputs["engine"], "restart", f"container {server.container}") as api:
        work = _work(api, server, inputs, secrets)
        _check(work)
        running.stop(api, work.spec, work.site.container, progress=progress)
        # An `up` that failed may have left files of another declaration.
        contents.put_back(work.contents)
        outcome = running.apply(work, cancelled=threading.Event(), progress=progress)
    return outcome.version, ""


def applied(view: StackView, name: str) -> dict[str, Any]:
    """What the last `up` declared of the server, secrets encrypted. Raises StackError when it never got that far."""
    found = stacks.resource(stacks.export(view.stack, project_root=view.project_root), RESOURCE, name)
    if found is None:
        raise stacks.StackError(
            "restart", name, f"the state of stack {view.stack} has no such server", stacks.up_hint(view.stack)
        )
    return dict(found["inputs"])


def _work(api: APIClient, server: ServerView, inputs: Mapping[str, Any], secrets: Mapping[str, str]) -> Work:
    from infra.targets.containers.running import Limits, Work
    from infra.targets.containers.site import Site

    return Work(
        api,
        ServerSpec.from_json(inputs["spec"]),
        Site.from_json(inputs["site"]),
        server.reached(),
        inputs["network"],
        Limits.from_json(inputs["limits"]),
        secrets,
    )


def _check(work: Work) -> None:
    """Raises TargetError unless the container is there, and this stack's."""
    from infra.targets.containers.ownership import refuse_foreign

    container = work.site.container
    found = inspected_or_refused(work.api, container, "restart")
    refuse_foreign("restart", "container", container, found["Config"]["Labels"], work.site.labels)
