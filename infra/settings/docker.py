"""Settings of target `docker`: the engine, the images, what each container may use, and where it is published."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infra.settings.types import AbsolutePath, Number, Password, Section, WholeNumber

IMAGE_PATTERN = r"^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$"
"""A reference: registry, repository, tag or digest: https://pkg.go.dev/github.com/distribution/reference"""
ADDRESS_PATTERN = r"^(|[0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]*)$"
MAXIMUM_MEMORY = 16777216
"""MiB: 16 TiB, more than any one machine has."""


class RegistryLogin(Section):
    """The login of one registry."""

    address: str = Field(
        examples=["registry.example.com", "127.0.0.1:5000"],
        min_length=1,
        max_length=255,
        pattern=r"^[a-z0-9][A-Za-z0-9.:-]*$",
        description="The registry's host and port, as images name it; 1 to 255 characters.",
    )
    username: str = Field(
        examples=["deploy"], min_length=1, max_length=255, description="User name, 1 to 255 characters."
    )
    password: Password = Field(
        description="Password or token, 1 to 4096 printable ASCII characters; set it with `--secret`."
    )


class DockerSettings(Section):
    """Target `docker`: servers in containers."""

    host: str = Field(
        default="",
        examples=["unix:///var/run/docker.sock", "ssh://deploy@db1.example.com"],
        pattern=r"^(|unix:///[^\x00-\x20]+|ssh://[^\x00-\x20/]+(/[^\x00-\x20]*)?)$",
        description="The engine, as a URL: `unix://` of this machine, or `ssh://USER@HOST[:PORT]`, whose servers are "
        "reached through a tunnel. Empty: DOCKER_HOST, else the docker context in use, else the default socket.",
    )
    ssh_config: AbsolutePath = Field(
        default="",
        examples=["/etc/circlepay/ssh_config"],
        description="Absolute path of an ssh_config file for an engine at `ssh://`, in place of the user's own: key, known "
        "hosts, jump hosts.",
    )
    suffix: str = Field(
        default="",
        examples=["_staging"],
        pattern=r"^(|[-_.][a-zA-Z0-9][a-zA-Z0-9_.-]{0,39})$",
        description="Added to the documented names (`redis-circlepay`, `redis_data`), so that one engine can hold several "
        "stacks: `-`, `_` or `.`, then letters and digits, at most 41 characters.",
    )
    publish_address: str = Field(
        default="",
        examples=["192.0.2.10", "0.0.0.0"],  # noqa: S104  (an example of what has to be asked for)
        pattern=ADDRESS_PATTERN,
        description="IP address to publish both ports on, in place of the servers' own loopback address. What is "
        "published beyond loopback passes the machine's firewall, and there is no TLS yet.",
    )
    postgres_image: str = Field(
        default="postgres:17",
        examples=["postgres:17"],
        pattern=IMAGE_PATTERN,
        description="Image of PostgreSQL, by tag or digest. A tag is looked up once and its digest kept, see `imagesAsOf`.",
    )
    redis_image: str = Field(
        default="redis:7-alpine",
        examples=["redis:7-alpine"],
        pattern=IMAGE_PATTERN,
        description="Image of Redis, by tag or digest.",
    )
    images_as_of: str = Field(
        default="",
        examples=["2026-11-25"],
        pattern=r"^[A-Za-z0-9_.:-]{0,40}$",
        description="Any text, at most 40 characters, best a date: changing it looks the tags up again and moves to what "
        "they mean by then.",
    )
    platform: str = Field(
        default="",
        examples=["linux/amd64", "linux/arm64"],
        pattern=r"^(|linux/[a-z0-9]+(/v[0-9]+)?)$",
        description="Platform of the images. Empty: the engine's own.",
    )
    pull_policy: Literal["missing", "always", "never"] = Field(
        default="missing",
        description="Where a tag is looked up: `missing` on the engine first, then at the registry; `always` at the "
        "registry; `never` only on the engine, for images that were loaded beforehand.",
    )
    registries: tuple[RegistryLogin, ...] = Field(
        default=(), max_length=16, description="Logins of private registries, at most 16."
    )
    postgres_memory: WholeNumber = Field(
        default=1024,
        ge=0,
        le=MAXIMUM_MEMORY,
        description="Memory limit of PostgreSQL, MiB, at least twice `postgres.sharedBuffers`; 0: none.",
    )
    postgres_cpus: Number = Field(
        default=0.0, ge=0, le=1024, description="CPU limit of PostgreSQL, processors, at most 1024; 0: none."
    )
    postgres_pids: WholeNumber = Field(
        default=1024,
        ge=0,
        le=4194304,
        description="Most processes of PostgreSQL, above `postgres.maxConnections` + 50; 0: no limit.",
    )
    redis_memory: WholeNumber = Field(
        default=1024,
        ge=0,
        le=MAXIMUM_MEMORY,
        description="Memory limit of Redis, MiB, at least twice `redis.maxmemory`, since a snapshot may copy all of it, and "
        "better four times: what is written to disk counts as well until it is there; 0: none.",
    )
    redis_cpus: Number = Field(
        default=0.0, ge=0, le=1024, description="CPU limit of Redis, processors, at most 1024; 0: none."
    )
    redis_pids: WholeNumber = Field(
        default=128, ge=0, le=4194304, description="Most processes and threads of Redis, 0 or at least 32; 0: no limit."
    )
    log_size: WholeNumber = Field(
        default=10,
        ge=1,
        le=10240,
        description="MiB of a container's log until the engine begins another file, 1..10240.",
    )
    log_files: WholeNumber = Field(
        default=5, ge=1, le=1000, description="Log files the engine keeps of a container, 1..1000."
    )

    def image_of(self, server: str) -> str:
        """The image of a server, by tag or digest."""
        return {"postgres": self.postgres_image, "redis": self.redis_image}[server]

    def limits_of(self, server: str) -> tuple[int, float, int]:
        """Memory in MiB, processors and processes that a server may use; 0: no limit."""
        limits = {
            "postgres": (self.postgres_memory, self.postgres_cpus, self.postgres_pids),
            "redis": (self.redis_memory, self.redis_cpus, self.redis_pids),
        }
        return limits[server]
