"""A ServerSpec as Pulumi resources, for each kind of target. No product is named here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra import resources
from infra.targets.placement import clone_id, default_data_root
from infra.targets.spec import ServerSpec


@dataclass(frozen=True)
class Provisioned:
    """A server that the target runs, as far as what comes after it needs to know."""

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    revision: pulumi.Output[str]
    folder: pulumi.Output[str]
    system_user: pulumi.Output[str]
    version: pulumi.Output[str]
    data_path: pulumi.Output[str]
    log_path: pulumi.Output[str]
    programs: pulumi.Output[str]
    running: pulumi.Output[bool]
    resources: tuple[resources.Resource, ...]


@dataclass(frozen=True)
class ProcessesTarget:
    """Servers as processes of this machine's user, each in a folder of its own.

    data_root: absolute path, empty for the default of placement.default_data_root.
    """

    stack: str
    project_root: Path
    data_root: str
    secrets: resources.GeneratedSecrets

    def provision(
        self,
        spec: ServerSpec,
        *,
        host: str,
        port: int | None,
        binaries: str,
        secrets: Mapping[str, pulumi.Input[str]],
    ) -> Provisioned:
        """Folder and process for the spec; the folder is protected and keeps its port."""
        folder = resources.ServerFolder(
            f"{spec.name}-folder",
            {
                "server": spec.name,
                "dataRoot": self.data_root or str(default_data_root()),
                "cloneId": clone_id(self.project_root),
                "stack": self.stack,
                "projectRoot": str(self.project_root),
                "host": host,
                "requestedPort": port,
                "documentedPort": spec.documented_port,
                "secretsId": self.secrets.secretsId,
            },
            pulumi.ResourceOptions(protect=True),
        )
        server = resources.Server(
            spec.name,
            {
                "spec": spec.to_json(),
                "folder": folder.folder,
                "port": folder.port,
                "binaries": binaries,
                "secrets": pulumi.Output.secret(secrets),
            },
        )
        return Provisioned(
            host=pulumi.Output.from_input(host),
            port=folder.port,
            revision=server.revision,
            folder=folder.folder,
            system_user=folder.systemUser,
            version=server.version,
            data_path=server.dataPath,
            log_path=server.logPath,
            programs=server.programs,
            running=server.running,
            resources=(folder, server),
        )
