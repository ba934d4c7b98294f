"""Servers as processes of this machine's user, as Pulumi resources: a location and a server each, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.targets import data_root, provisioning
from infra.targets.provisioning import Provisioned, Request
from infra.targets.spec import ServerSpec

if TYPE_CHECKING:
    from infra.settings.model import ProcessesSettings


@dataclass(frozen=True)
class ProcessesProvisioner:
    """See Provisioner."""

    request: Request
    settings: ProcessesSettings

    def provision(
        self, spec: ServerSpec, *, host: str, port: int | None, secrets: Mapping[str, pulumi.Input[str]]
    ) -> Provisioned:
        """Folder and process for the spec; the folder is protected and keeps its port."""
        options = {"dataRoot": self.settings.data_directory or str(data_root.default())}
        place = provisioning.claimed(self.request, spec, host=host, port=port, options=options)
        location = provisioning.completed(place.location, {"binaries": self.settings.binaries_of(spec.name)})
        server = provisioning.running(self.request, spec, location, secrets)
        return Provisioned(location, server.revision, server.version, server.running, server.programs, (place, server))
