"""Target `docker`: a ServerSpec as resources of pulumi-docker and of this package. No product is named here.

    place and pinned digest (protected) -> image, volumes, network -> files and data -> container -> server

pulumi-docker makes image, volumes and container. What it cannot do is ours: see infra/targets/containers/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker as docker

from infra import resources
from infra.targets.containers import leftovers, ownership
from infra.targets.containers.site import FILES_ROOT, Site, argv
from infra.targets.placement import clone_id
from infra.targets.provisioning import Provisioned
from infra.targets.spec import Packaging, ServerSpec
from infra.tunnels import configuration, is_remote, plain

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (where such a server is reached from its own machine)
RESTART_POLICY = "unless-stopped"
SHARED_MEMORY = 256
"""MiB of /dev/shm, which counts as memory: the engine's own 64 are too few for a parallel query of PostgreSQL."""
HEALTH_SECONDS = 10
TEMPORARY_FOLDERS = {"/tmp": "rw,noexec,nosuid,nodev,size=64m"}  # noqa: S108  (in the container, and in memory)
OURS = {"memory": "memory", "nanoCpus": "cpus"}
"""Limits that our own resource sets, and pulumi-docker's words for them: it has none for processes, and would make another
container for a changed one. The engine takes neither away from a container that has it (0 is «as it was»), so where there
is to be none, another container is what it takes."""


@dataclass(frozen=True)
class Allowance:
    """One server's image by tag or digest, and its limits: memory (bytes), nanoCpus, pids; 0: no limit."""

    image: str
    limits: Mapping[str, int]


@dataclass(frozen=True)
class Images:
    """How images are looked up. policy: missing, always or never. logins: registry -> username and password."""

    platform: str
    policy: str
    as_of: str
    logins: Mapping[str, Mapping[str, str]] = field(repr=False)


@dataclass(frozen=True)
class DockerTarget:
    """Servers in containers of one engine.

    engine: URL. suffix: added to names. publish_address: IP address in place of the servers' own, or empty. log: options
    of the engine's log files. allowances: by the server's name. shared: what all servers of the stack have in common.
    """

    stack: str
    project_root: Path
    engine: str
    suffix: str
    publish_address: str
    images: Images
    log: Mapping[str, str]
    allowances: Mapping[str, Allowance]
    secrets: resources.GeneratedSecrets
    shared: dict[str, resources.ContainerNetwork] = field(default_factory=dict)

    @cached_property
    def labels(self) -> dict[str, str]:
        """Our mark."""
        return ownership.labels(clone_id(self.project_root), self.stack, str(self.project_root))

    @cached_property
    def provider(self) -> docker.Provider:
        """pulumi-docker on this engine."""
        logins = [
            docker.ProviderRegistryAuthArgs(address=address, username=login["username"], password=login["password"])
            for address, login in self.images.logins.items()
        ]
        ssh = configuration(self.engine)
        return docker.Provider("docker", host=plain(self.engine), ssh_opts=ssh or None, registry_auth=_hidden(logins))

    def _network(self, place: resources.ContainerPlace) -> resources.ContainerNetwork:
        """The network of the stack's containers, made once and after the first place, which may refuse to be one."""
        if "network" not in self.shared:
            name = place.container.apply(lambda _: ownership.network_name(self.suffix))
            inputs = {"engine": self.engine, "name": name, "labels": dict(self.labels)}
            self.shared["network"] = resources.ContainerNetwork("network", inputs)
        return self.shared["network"]

    def provision(
        self, spec: ServerSpec, *, host: str, port: int | None, secrets: Mapping[str, pulumi.Input[str]]
    ) -> Provisioned:
        """Place, image, volumes, contents, container and server for the spec; place, pin and data are protected."""
        address = self.publish_address or {"localhost": "127.0.0.1"}.get(host, host)
        place = self._place(spec, address, port)
        image = self._image(spec)
        fit = resources.ContainerImage(
            f"{spec.name}-image-facts",
            {"engine": self.engine, "spec": _for_its_image(spec), "image": image.image_id, "labels": dict(self.labels)},
        )
        data = self._volume(
            f"{spec.name}-data", place.dataVolume, {ownership.SECRETS: self.secrets.secretsId}, protect=True
        )
        files = self._volume(f"{spec.name}-files", place.filesVolume, {}, protect=False)
        site = self._site(spec, place, fit, image, (data, files))
        hidden = pulumi.Output.secret(secrets)
        network = self._network(place)
        contents = resources.ContainerContents(
            f"{spec.name}-contents",
            {
                "engine": self.engine,
                "spec": spec.to_json(),
                "site": site,
                "secrets": hidden,
                "upstream": [data.mountpoint, files.mountpoint],
            },
        )
        container = self._container(spec, site, place, address, contents)
        reached_at = ANYWHERE.get(address, address)
        server = resources.ContainerServer(
            spec.name,
            {
                "engine": self.engine,
                "spec": spec.to_json(),
                "site": site,
                "containerId": container.id,
                "network": network.name,
                "host": reached_at,
                "port": place.port,
                "limits": dict(self.allowances[spec.name].limits),
                "secrets": hidden,
                "upstream": [contents.revision],
            },
        )
        return Provisioned(
            host=pulumi.Output.from_input(reached_at),
            port=place.port,
            via=pulumi.Output.from_input(self.engine if is_remote(self.engine) else ""),
            revision=server.revision,
            folder=pulumi.Output.from_input(""),
            system_user=pulumi.Output.from_input(spec.packaging.image_user),
            version=server.version,
            data_path=fit.data,
            log_path=pulumi.Output.from_input(""),
            programs=pulumi.Output.from_input(""),
            running=server.running,
            container=place.container,
            volume=place.dataVolume,
            engine=pulumi.Output.from_input(self.engine),
            places=site.apply(lambda found: Site.from_json(found).places),
            limits=pulumi.Output.from_input(dict(self.allowances[spec.name].limits)),
            published=place.port.apply(lambda found: _published(address, int(found))),
            resources=(place, fit, network, contents, server),
        )

    def _place(self, spec: ServerSpec, address: str, port: int | None) -> resources.ContainerPlace:
        return resources.ContainerPlace(
            f"{spec.name}-place",
            {
                "engine": self.engine,
                "server": spec.name,
                "suffix": self.suffix,
                "cloneId": clone_id(self.project_root),
                "stack": self.stack,
                "projectRoot": str(self.project_root),
                "host": address,
                "requestedPort": port,
                "documentedPort": spec.documented_port,
                "secretsId": self.secrets.secretsId,
            },
            pulumi.ResourceOptions(protect=True),
        )

    def _image(self, spec: ServerSpec) -> docker.RemoteImage:
        """The pinned image on the engine, where it stays."""
        pin = resources.ImagePin(
            f"{spec.name}-pin",
            {
                "engine": self.engine,
                "server": spec.name,
                "reference": self.allowances[spec.name].image,
                "platform": self.images.platform,
                "policy": self.images.policy,
                "asOf": self.images.as_of,
                "logins": pulumi.Output.secret({name: dict(login) for name, login in self.images.logins.items()}),
            },
            pulumi.ResourceOptions(protect=True),
        )
        return docker.RemoteImage(
            f"{spec.name}-image",
            name=pin.pinned,
            platform=self.images.platform or None,
            keep_locally=True,
            opts=pulumi.ResourceOptions(provider=self.provider),
        )

    def _volume(
        self, name: str, volume: pulumi.Output[str], more: Mapping[str, pulumi.Input[str]], *, protect: bool
    ) -> docker.Volume:
        labels = [docker.VolumeLabelArgs(label=label, value=value) for label, value in {**self.labels, **more}.items()]
        options = pulumi.ResourceOptions(provider=self.provider, protect=protect, delete_before_replace=True)
        return docker.Volume(name, name=volume, labels=labels, opts=options)

    def _site(
        self,
        spec: ServerSpec,
        place: resources.ContainerPlace,
        fit: resources.ContainerImage,
        image: docker.RemoteImage,
        volumes: tuple[docker.Volume, docker.Volume],
    ) -> pulumi.Output[dict[str, Any]]:
        data, files = volumes
        return pulumi.Output.all(
            container=place.container,
            image=image.image_id,
            user=fit.user,
            data_volume=data.name,
            data_mount=fit.mount,
            data=fit.data,
            files_volume=files.name,
            port=spec.documented_port,
            labels=dict(self.labels),
        ).apply(dict)

    def _container(
        self,
        spec: ServerSpec,
        site: pulumi.Output[dict[str, Any]],
        place: resources.ContainerPlace,
        address: str,
        contents: resources.ContainerContents,
    ) -> docker.Container:
        """The container, made and not started: whoever starts it knows when it answers."""
        command = site.apply(lambda found: argv(spec, spec.start, Site.from_json(found).places))
        health = site.apply(lambda found: argv(spec, spec.packaging.health, Site.from_json(found).places))
        network, limits = self._network(place), self.allowances[spec.name].limits
        labels: dict[str, pulumi.Input[str]] = {
            **self.labels,
            ownership.ROLE: "server",
            ownership.NETWORK: network.networkId,
        }
        return docker.Container(
            f"{spec.name}-container",
            name=place.container,
            image=site.apply(lambda found: found["image"]),
            entrypoints=command.apply(lambda words: words[:1]),
            command=command.apply(lambda words: words[1:]),
            user=site.apply(lambda found: found["user"]),
            envs=["LC_ALL=C", "TZ=UTC"],
            network_mode=network.name,
            ports=[docker.ContainerPortArgs(internal=spec.documented_port, external=place.port, ip=address)],
            volumes=[
                docker.ContainerVolumeArgs(
                    volume_name=site.apply(lambda found: found["data_volume"]),
                    container_path=site.apply(lambda found: found["data_mount"]),
                ),
                docker.ContainerVolumeArgs(
                    volume_name=site.apply(lambda found: found["files_volume"]),
                    container_path=FILES_ROOT,
                    read_only=True,
                ),
            ],
            tmpfs=TEMPORARY_FOLDERS,
            shm_size=SHARED_MEMORY,
            read_only=True,
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            labels=[docker.ContainerLabelArgs(label=label, value=value) for label, value in labels.items()],
            healthcheck=docker.ContainerHealthcheckArgs(
                tests=health.apply(lambda words: ["CMD", *words]),
                interval=f"{HEALTH_SECONDS}s",
                timeout=f"{HEALTH_SECONDS // 2}s",
                retries=3,
            ),
            restart=RESTART_POLICY,
            log_driver="json-file",
            log_opts=dict(self.log),
            start=False,
            must_run=False,
            stop_signal=spec.stop_signal,
            stop_timeout=int(spec.stop_timeout),
            destroy_grace_seconds=int(spec.stop_timeout),
            opts=pulumi.ResourceOptions(
                provider=self.provider,
                depends_on=[contents],
                delete_before_replace=True,
                ignore_changes=["memorySwap", *(word for limit, word in OURS.items() if limits[limit])],
                replace_on_changes=[word for limit, word in OURS.items() if not limits[limit]],
                hooks=leftovers.hooks(self.engine, self.labels),
            ),
        )


def _published(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _hidden(
    logins: list[docker.ProviderRegistryAuthArgs],
) -> pulumi.Input[list[docker.ProviderRegistryAuthArgs]] | None:
    """Logins as a secret: a provider's own configuration is in the state as well."""
    return pulumi.Output.secret(logins) if logins else None


def _for_its_image(spec: ServerSpec) -> dict[str, Any]:
    """The part of a spec for which an image is looked at: a changed setting is none of it."""
    packaging = Packaging(image_user=spec.packaging.image_user, data_variable=spec.packaging.data_variable)
    return ServerSpec(spec.name, spec.documented_port, (), "", packaging).to_json()
