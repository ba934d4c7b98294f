"""Servers in containers, as resources of pulumi-docker and of this package.

    location and pinned digest (protected) -> image, volumes, network -> container -> server

pulumi-docker makes image, volumes and container. What it cannot do is ours: see the rest of this folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_docker as docker

from infra.declarations import resources
from infra.targets import provisioning
from infra.targets.clones import clone_id, first_path
from infra.targets.docker import container_hooks, engine, ownership
from infra.targets.docker.container_location import FILES_ROOT, FIXED, argv, placeholders
from infra.targets.docker.limits import MEBIBYTE
from infra.targets.docker.resources import ContainerImage, ContainerNetwork, ImagePin
from infra.targets.provisioning import Provisioned, Request
from infra.targets.spec import ServerSpec
from infra.tunnels import configuration, plain, with_configuration

if TYPE_CHECKING:
    from infra.settings.docker import DockerSettings

BILLION = 1_000_000_000
RESTART_POLICY = "unless-stopped"
SHARED_MEMORY = 256
"""MiB of /dev/shm, which counts as memory: the engine's own 64 are too few for a parallel query of PostgreSQL."""
HEALTH_SECONDS = 10
TEMPORARY_FOLDERS = {"/tmp": "rw,noexec,nosuid,nodev,size=64m"}  # noqa: S108  (in the container, and in memory)
SET_BY_US = {"memory": "memory", "nanoCpus": "cpus"}
"""Limits that our own resource sets, and pulumi-docker's names for them: it has none for processes, and would make another
container for a changed one. The engine takes neither away from a container that has it (0 is «as it was»), so where there
is to be none, another container is what it takes."""


@dataclass(frozen=True)
class DockerProvisioner:
    """See Provisioner. engine: URL. shared: what all servers of the stack have in common."""

    request: Request
    settings: DockerSettings
    engine: str
    shared: dict[str, ContainerNetwork] = field(default_factory=dict)

    @cached_property
    def labels(self) -> dict[str, str]:
        """Our mark."""
        root = self.request.project_root
        return ownership.labels(clone_id(root), self.request.stack, first_path(root))

    @cached_property
    def provider(self) -> docker.Provider:
        """pulumi-docker on this engine."""
        logins = [
            docker.ProviderRegistryAuthArgs(address=address, username=login["username"], password=login["password"])
            for address, login in self._logins.items()
        ]
        ssh = configuration(self.engine)
        return docker.Provider("docker", host=plain(self.engine), ssh_opts=ssh or None, registry_auth=_hidden(logins))

    @cached_property
    def _logins(self) -> dict[str, dict[str, str]]:
        return {
            login.address: {"username": login.username, "password": login.password.get_secret_value()}
            for login in self.settings.registries
        }

    def _network(self, place: resources.ServerLocation) -> ContainerNetwork:
        """The network of the stack's containers, made once and after the first location, which may refuse to be one."""
        if "network" not in self.shared:
            name = place.location.apply(lambda found: found["names"]["network"])
            inputs = {"engine": self.engine, "name": name, "labels": dict(self.labels)}
            self.shared["network"] = ContainerNetwork("network", inputs)
        return self.shared["network"]

    def provision(
        self, spec: ServerSpec, *, host: str, port: int | None, secrets: Mapping[str, pulumi.Input[str]]
    ) -> Provisioned:
        """Location, image, volumes, container and server for the spec; location, pin and data are protected."""
        address = self.settings.publish_address or {"localhost": "127.0.0.1"}.get(host, host)
        options = {"engine": self.engine, "suffix": self.settings.suffix}
        place = provisioning.claimed(self.request, spec, host=address, port=port, options=options)
        image = self._image(spec)
        facts = ContainerImage(
            f"{spec.name}-image-facts",
            {
                "engine": self.engine,
                "spec": provisioning.for_its_image(spec),
                "image": image.image_id,
                "labels": dict(self.labels),
                "location": place.location,
            },
        )
        secrets_label = {ownership.SECRETS: self.request.secrets.secretsId}
        data = self._volume(f"{spec.name}-data", _named(place, "dataVolume"), secrets_label, protect=True)
        files = self._volume(f"{spec.name}-files", _named(place, "filesVolume"), {}, protect=False)
        location = self._location(spec, place, facts, image)
        container = self._container(spec, location, place, address, (data, files))
        server = provisioning.running(
            self.request, spec, location, secrets, instance=container.id, upstream=(data.mountpoint, files.mountpoint)
        )
        own = (place, facts, self._network(place), server)
        return Provisioned(location, server.revision, server.version, server.running, server.programs, own)

    def _location(
        self,
        spec: ServerSpec,
        place: resources.ServerLocation,
        facts: ContainerImage,
        image: docker.RemoteImage,
    ) -> pulumi.Output[dict[str, Any]]:
        """The server's location with what its image and the settings say."""
        inside = facts.data.apply(lambda data: placeholders(spec.documented_port, data))
        return provisioning.completed(
            place.location,
            {"image": image.image_id, "uid": facts.user, "dataMount": facts.mount},
            placeholders=inside,
            user=spec.packaging.image_user,
            limits=self._limits(spec),
        )

    def _limits(self, spec: ServerSpec) -> dict[str, int]:
        memory, processors, pids = self.settings.limits_of(spec.name)
        return {"memory": memory * MEBIBYTE, "nanoCpus": round(processors * BILLION), "pids": pids}

    def _image(self, spec: ServerSpec) -> docker.RemoteImage:
        """The pinned image on the engine, where it stays."""
        pin = ImagePin(
            f"{spec.name}-pin",
            {
                "engine": self.engine,
                "server": spec.name,
                "reference": self.settings.image_of(spec.name),
                "platform": self.settings.platform,
                "policy": self.settings.pull_policy,
                "asOf": self.settings.images_as_of,
                "logins": pulumi.Output.secret({name: dict(login) for name, login in self._logins.items()}),
            },
            pulumi.ResourceOptions(protect=True),
        )
        return docker.RemoteImage(
            f"{spec.name}-image",
            name=pin.pinned,
            platform=self.settings.platform or None,
            keep_locally=True,
            opts=pulumi.ResourceOptions(provider=self.provider),
        )

    def _volume(
        self, name: str, volume: pulumi.Output[str], more: Mapping[str, pulumi.Input[str]], *, protect: bool
    ) -> docker.Volume:
        labels = [docker.VolumeLabelArgs(label=label, value=value) for label, value in {**self.labels, **more}.items()]
        options = pulumi.ResourceOptions(provider=self.provider, protect=protect, delete_before_replace=True)
        return docker.Volume(name, name=volume, labels=labels, opts=options)

    def _container(
        self,
        spec: ServerSpec,
        location: pulumi.Output[dict[str, Any]],
        place: resources.ServerLocation,
        address: str,
        volumes: tuple[docker.Volume, docker.Volume],
    ) -> docker.Container:
        """The container, created and not started: the Server resource starts it and waits until it answers."""
        command = location.apply(
            lambda found: argv(
                spec, (*spec.start, *(spec.fixed if FIXED in found["names"] else ())), found["placeholders"]
            )
        )
        network = self._network(place)
        labels: dict[str, pulumi.Input[str]] = {
            **self.labels,
            ownership.ROLE: "server",
            ownership.NETWORK: network.networkId,
        }
        return docker.Container(
            f"{spec.name}-container",
            name=_named(place, "container"),
            image=location.apply(lambda found: found["names"]["image"]),
            entrypoints=command.apply(lambda words: words[:1]),
            command=command.apply(lambda words: words[1:]),
            user=location.apply(lambda found: found["names"]["uid"]),
            envs=["LC_ALL=C", "TZ=UTC"],
            network_mode=network.name,
            ports=[docker.ContainerPortArgs(internal=spec.documented_port, external=place.port, ip=address)],
            volumes=_mounts(location, volumes),
            tmpfs=TEMPORARY_FOLDERS,
            shm_size=SHARED_MEMORY,
            read_only=True,
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            labels=[docker.ContainerLabelArgs(label=label, value=value) for label, value in labels.items()],
            healthcheck=_health_check(spec, location),
            restart=RESTART_POLICY,
            log_driver="json-file",
            log_opts={"max-size": f"{self.settings.log_size}m", "max-file": str(self.settings.log_files)},
            start=False,
            must_run=False,
            stop_signal=spec.stop_signal,
            stop_timeout=int(spec.stop_timeout),
            destroy_grace_seconds=int(spec.stop_timeout),
            opts=self._container_options(spec),
        )

    def _container_options(self, spec: ServerSpec) -> pulumi.ResourceOptions:
        limits = self._limits(spec)
        return pulumi.ResourceOptions(
            provider=self.provider,
            delete_before_replace=True,
            ignore_changes=[
                "memorySwap",
                "cpuSet",
                "cpuShares",
                *(word for limit, word in SET_BY_US.items() if limits[limit]),
            ],
            replace_on_changes=[word for limit, word in SET_BY_US.items() if not limits[limit]],
            hooks=container_hooks.hooks(self.engine, self.labels),
        )


def _mounts(
    location: pulumi.Output[dict[str, Any]], volumes: tuple[docker.Volume, docker.Volume]
) -> list[docker.ContainerVolumeArgs]:
    """Data, and the files that the server may only read."""
    data, files = volumes
    data_mount = location.apply(lambda found: found["names"]["dataMount"])
    return [
        docker.ContainerVolumeArgs(volume_name=data.name, container_path=data_mount),
        docker.ContainerVolumeArgs(volume_name=files.name, container_path=FILES_ROOT, read_only=True),
    ]


def _health_check(spec: ServerSpec, location: pulumi.Output[dict[str, Any]]) -> docker.ContainerHealthcheckArgs:
    words = location.apply(lambda found: argv(spec, spec.packaging.health, found["placeholders"]))
    return docker.ContainerHealthcheckArgs(
        tests=words.apply(lambda found: ["CMD", *found]),
        interval=f"{HEALTH_SECONDS}s",
        timeout=f"{HEALTH_SECONDS // 2}s",
        retries=3,
    )


def provisioner(request: Request, settings: DockerSettings) -> DockerProvisioner:
    """On the engine that the settings name. Raises TargetError when there is none, or not for this user."""
    url = with_configuration(engine.locate(settings.host, os.environ), settings.ssh_config)
    engine.refuse_unreachable(url, "look for the container engine")
    return DockerProvisioner(request, settings, url)


def _named(place: resources.ServerLocation, name: str) -> pulumi.Output[str]:
    return place.location.apply(lambda found: str(found["names"][name]))


def _hidden(
    logins: list[docker.ProviderRegistryAuthArgs],
) -> pulumi.Input[list[docker.ProviderRegistryAuthArgs]] | None:
    """Logins as a secret: a provider's own configuration is in the state as well."""
    return pulumi.Output.secret(logins) if logins else None
