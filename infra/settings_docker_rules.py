"""Rules between the settings of target `docker` and those of the servers; they hold only where that target is chosen."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from infra.cache.memory import bytes_of
from infra.settings_problems import PROJECT, Problem

if TYPE_CHECKING:
    from infra.settings import Settings

MEBIBYTE = 1024 * 1024
POSTGRES_SHARE = 2
"""shared_buffers times this: the rest is for connections and the page cache, which the engine counts as well."""
REDIS_SHARE = 2
"""maxmemory times this: while a snapshot is taken, every page that changes exists twice."""
SPARE_PROCESSES = 50
"""Processes beside those of connections: the server's own, parallel workers, health checks, somebody's psql."""
LEAST_REDIS_PIDS = 32


def _on_docker(settings: Settings) -> bool:
    return settings.target == "docker"


def containers_have_room(_: str, settings: Settings) -> Iterator[Problem]:
    """On `docker`, memory and process limits leave room for `sharedBuffers`, `maxConnections` and `maxmemory`."""
    if not _on_docker(settings):
        return
    docker, postgres = settings.docker, settings.postgres
    if 0 < docker.postgres_memory < POSTGRES_SHARE * postgres.shared_buffers:
        yield Problem(
            "docker.postgresMemory", f"must be 0 or at least {POSTGRES_SHARE} times {PROJECT}:postgres.sharedBuffers"
        )
    limit = bytes_of(settings.redis.maxmemory)
    if 0 < docker.redis_memory * MEBIBYTE < REDIS_SHARE * limit:
        yield Problem("docker.redisMemory", f"must be 0 or at least {REDIS_SHARE} times {PROJECT}:redis.maxmemory")
    if 0 < docker.postgres_pids < postgres.max_connections + SPARE_PROCESSES:
        yield Problem(
            "docker.postgresPids",
            f"must be 0 or at least {PROJECT}:postgres.maxConnections + {SPARE_PROCESSES}",
        )
    if 0 < docker.redis_pids < LEAST_REDIS_PIDS:
        yield Problem("docker.redisPids", f"must be 0 or at least {LEAST_REDIS_PIDS}")


def containers_log_to_the_engine(_: str, settings: Settings) -> Iterator[Problem]:
    """On `docker`, `redis.logfile` is left out: the engine keeps the container's output, and rotates it."""
    if _on_docker(settings) and settings.redis.logfile:
        yield Problem("redis.logfile", f"must be left out where {PROJECT}:target is docker: the engine keeps the log")


def registries_differ(_: str, settings: Settings) -> Iterator[Problem]:
    """No registry is listed twice."""
    addresses = [login.address for login in settings.docker.registries]
    if len(addresses) != len(set(addresses)):
        yield Problem("docker.registries", "must not list a registry twice")


def ssh_config_has_its_engine(_: str, settings: Settings) -> Iterator[Problem]:
    """`sshConfig` is left out where `docker.host` is a socket of this machine."""
    if settings.docker.ssh_config and settings.docker.host.startswith("unix://"):
        yield Problem("docker.sshConfig", f"must be left out where {PROJECT}:docker.host is a socket of this machine")


def publish_address_is_one(_: str, settings: Settings) -> Iterator[Problem]:
    """`publishAddress` is an IP address."""
    address = settings.docker.publish_address
    try:
        ipaddress.ip_address(address or "127.0.0.1")
    except ValueError:
        yield Problem("docker.publishAddress", "must be an IP address of the engine's machine, or left out")


def published_beyond_loopback(settings: Settings) -> Iterator[Problem]:
    """Both servers are published beyond loopback: past the machine's firewall, and without TLS."""
    address = settings.docker.publish_address
    if _on_docker(settings) and address and not ipaddress.ip_address(address).is_loopback:
        yield Problem(
            "docker.publishAddress",
            "publishes both servers beyond this machine, past its firewall and without TLS: let nobody reach them who "
            "should not",
        )
