"""Restarts a server as the last `up` declared it: by the stack's state, with secrets from its outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from infra.errors import TargetError
from infra.operations import stack as stacks
from infra.operations.stack import ServerView, StackView
from infra.targets import clones, lifecycle
from infra.targets.location import Location
from infra.targets.server import Server
from infra.targets.spec import ServerSpec

RESOURCE = "circlepay:index:Server"


def run(view: StackView, name: str, *, progress: Callable[[str], None]) -> str:
    """Stops the server, waits until it has ended, starts it again and waits until it authenticates; its version.

    Raises StackError when the state does not know the server, and TargetError when it is not there, does not stop or does
    not start.
    """
    server = view.server(name)
    clones.refuse_another("restart", server.location.clone, server.location.project_root, view.project_root)
    spec, location = _declared(view, server)
    with server.target.machine(location, spec) as machine:
        if machine is None:
            place = server.target.describe(location)[1]
            raise TargetError("restart", place, "there is no server of ours at this place", "`make up` creates it")
        return lifecycle.restart(Server(machine, _secrets(view, name)), cancelled=threading.Event(), progress=progress)


def _declared(view: StackView, server: ServerView) -> tuple[ServerSpec, Location]:
    """What the last `up` declared of the server. Raises StackError when it never got that far."""
    found = stacks.resource(stacks.export(view.stack, project_root=view.project_root), RESOURCE, server.name)
    if found is None:
        cause = f"the state of stack {view.stack} has no such server"
        raise stacks.StackError("restart", server.name, cause, stacks.up_hint(view.stack))
    return ServerSpec.from_json(found["inputs"]["spec"]), Location.from_json(found["inputs"]["location"])


def _secrets(view: StackView, name: str) -> dict[str, str]:
    if name == "postgres":
        return {"superuser_password": view.admin_login().password}
    return {"password": view.redis_login().password}
