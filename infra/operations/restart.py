"""Restarts a server safely: the same specification, place and port that the last `up` applied."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.errors import TargetError
from infra.operations import container_restart
from infra.operations.stack import ServerView, StackView, incomplete
from infra.targets import placement as placements
from infra.targets import processes
from infra.targets.placement import Placement
from infra.targets.spec import ServerSpec


def run(view: StackView, name: str, *, progress: Callable[[str], None]) -> str:
    """Stops the server, waits until it has ended, starts it again and waits until it authenticates; its version.

    Raises TargetError when what the last `up` applied is missing, or when the server does not stop or come up.
    """
    server = view.server(name)
    ways = container_restart.run if server.container else _process
    version, problem = ways(view, server, _secrets(view, name), progress)
    if not version:
        raise TargetError("restart", name, problem or "it does not answer", f"read `circlepay logs --server {name}`")
    return version


def _process(
    view: StackView, server: ServerView, secrets: Mapping[str, str], progress: Callable[[str], None]
) -> tuple[str, str]:
    """The same for a server that is a process: its version, or why there is none."""
    if server.folder is None or server.programs is None:
        raise incomplete(view.stack, server.name)
    placement = _placement(server.folder)
    spec = applied_spec(server.folder)
    processes.stop(placement, spec, progress=progress)
    processes.apply(placement, spec, secrets, server.programs, cancelled=threading.Event(), progress=progress)
    facts = processes.read(placement, spec, secrets, server.programs)
    return (facts.version if facts.authenticates else ""), facts.problem


def applied_spec(folder: Path) -> ServerSpec:
    """The specification the last `up` applied in this folder; it holds no secrets. Raises TargetError without one."""
    path = folder / "run" / "spec.json"
    try:
        return ServerSpec.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise TargetError("read specification", str(path), str(error.strerror), "`make up` writes it") from None
    except (ValueError, KeyError, TypeError):
        raise TargetError("read specification", str(path), "it is damaged", "`make up` writes it anew") from None


def _placement(folder: Path) -> Placement:
    placement = placements.load(folder)
    if placement is None:
        raise TargetError("restart", str(folder), "there is no server of ours in this folder", "`make up` makes it")
    return placement


def _secrets(view: StackView, name: str) -> dict[str, str]:
    if name == "postgres":
        return {"superuser_password": view.admin_login().password}
    return {"password": view.redis_login().password}
