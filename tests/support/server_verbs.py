"""What is done with one server on its machine, with less to type."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext

from infra.changes import Change
from infra.targets import lifecycle
from infra.targets import server as servers
from infra.targets.lifecycle import Outcome
from infra.targets.machine import Machine
from infra.targets.server import Facts, Server
from infra.targets.spec import ServerSpec
from tests.support.dummy_product import SECRETS


def actions(changes: list[Change]) -> list[tuple[str, str]]:
    """What is done to what."""
    return [(change.action, change.subject) for change in changes]


class ServerVerbs(ABC):
    """One server; each verb takes it as declared otherwise, or with other secrets, for this once."""

    @abstractmethod
    def spec(self) -> ServerSpec:
        """The server as it is usually declared."""

    @abstractmethod
    def machine(self, spec: ServerSpec) -> Machine:
        """The machine."""

    def server(self, spec: ServerSpec | None = None, secrets: Mapping[str, str] = SECRETS) -> Server:
        """The server as declared."""
        return Server(self.machine(spec or self.spec()), secrets)

    def outcome(
        self,
        spec: ServerSpec | None = None,
        secrets: Mapping[str, str] = SECRETS,
        *,
        cancelled: bool = False,
        previous: Callable[[], Server] | None = None,
    ) -> Outcome:
        """Makes it as declared. previous: as it was declared before."""
        event = threading.Event()
        if cancelled:
            event.set()
        before = None if previous is None else lambda: nullcontext(previous())
        server = self.server(spec, secrets)
        return lifecycle.apply(server, cancelled=event, progress=lambda _: None, previous=before)

    def apply(self, spec: ServerSpec | None = None, secrets: Mapping[str, str] = SECRETS) -> list[Change]:
        """The same; what that changed."""
        return self.outcome(spec, secrets).changes

    def facts(self, spec: ServerSpec | None = None, secrets: Mapping[str, str] = SECRETS) -> Facts:
        """What is there."""
        return servers.read(self.server(spec, secrets))

    def plan(self, spec: ServerSpec | None = None, secrets: Mapping[str, str] = SECRETS) -> list[Change]:
        """What `apply` would do."""
        server = self.server(spec, secrets)
        return servers.plan(servers.read(server), server).changes

    def restart(self, spec: ServerSpec | None = None) -> str:
        """Restarts it; the version it answers with."""
        return lifecycle.restart(self.server(spec), cancelled=threading.Event(), progress=lambda _: None)

    def stop(self, spec: ServerSpec | None = None) -> None:
        """Stops it."""
        lifecycle.stop(self.server(spec), progress=lambda _: None)
