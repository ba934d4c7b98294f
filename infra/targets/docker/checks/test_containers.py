"""Each container is hardened, limited and private, by its engine's description and by its running process.

For servers in containers only. docs/container-hardening.md maps the sections of the CIS Docker Benchmark to these checks.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from infra.targets.docker.checks.container import Container, declared_address, inspect
from infra.verification.checks.expectation import MismatchError, expect, expect_that
from infra.verification.checks.machine import Machine
from infra.verification.secret_scanner import SHORTEST, find_in_text
from infra.verification.subject import Subject

NO_CAPABILITIES = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000")
SECCOMP_FILTER = "2"
"""Value of Seccomp in /proc for a process with a system call filter."""
UNCONFINED = re.compile(r"(seccomp|apparmor|systempaths)[=:]unconfined|label[=:]disable")
PINNED = re.compile(r"(?:.+@)?sha256:[0-9a-f]{64}")
ANONYMOUS = re.compile(r"[0-9a-f]{64}")
"""The name that the engine gives to an anonymous volume."""
TMPFS_PATHS = re.compile(r"/tmp|(/var)?/run(/.*)?")  # noqa: S108
UNSAFE_TMPFS_OPTIONS = {"exec", "suid", "dev"}
"""Options that lift the engine's own restrictions on a tmpfs."""
PRIVATE_PROPAGATION = ("", "private", "rprivate")
SOCKETS = re.compile(r"(docker|podman|containerd|crio|engine)[^/]*\.sock$")
REMOTE_LOGINS = ("sshd", "dropbear")
ENGINE_DNS = "127.0.0.11"
"""The engine's own DNS server, inside every container on a user-defined network."""
NAMESPACES = {
    "network": "NetworkMode",
    "pid": "PidMode",
    "ipc": "IpcMode",
    "uts": "UTSMode",
    "user": "UsernsMode",
}
DEVICES = ("Devices", "DeviceRequests", "DeviceCgroupRules")
ENGINE_DEFAULTS = (
    "Ulimits",
    "Sysctls",
    "CgroupParent",
    "OomKillDisable",
    "GroupAdd",
    "Links",
    "VolumesFrom",
    "ExtraHosts",
)
LIMITS = {"memory": "Memory", "nanoCpus": "NanoCpus", "pids": "PidsLimit"}
LOWEST_PORT = 1024
"""Ports below are privileged: reserved for services of the machine."""


@pytest.fixture(scope="module")
def inspected() -> dict[str, Container]:
    """Containers as the engine described them, by their server."""
    return {}


@pytest.fixture
def container(subject: Subject, server: str, inspected: dict[str, Container]) -> Container:
    """The engine's description of the container that `server` runs in."""
    if server not in inspected:
        inspected[server] = inspect(subject.servers[server].location)
    return inspected[server]


def _options(container: Container) -> list[str]:
    return container.host.get("SecurityOpt") or []


# User and privileges --------------------------------------------------------------------------------------------------


def test_user(container: Container) -> None:
    user = str(container.config["User"])
    expect_that(
        user.partition(":")[0] not in ("", "0", "root"),
        "runs as a user other than root",
        user or "no user is set, which means root",
    )


def test_not_privileged(container: Container) -> None:
    expect(container.host["Privileged"], False)


def test_capabilities(container: Container) -> None:
    expect((container.host["CapDrop"] or [], container.host["CapAdd"] or []), (["ALL"], []))


def test_no_capability_in_force(machine: Machine, server: str) -> None:
    status = machine.processes[server].status
    expect({name: status.get(name) for name in NO_CAPABILITIES}, NO_CAPABILITIES)


def test_no_new_privileges(container: Container, machine: Machine, server: str) -> None:
    declared = any(re.fullmatch("no-new-privileges([=:]true)?", option) for option in _options(container))
    expect((declared, machine.processes[server].status.get("NoNewPrivs")), (True, "1"))


def test_security_profiles(container: Container) -> None:
    disabled = [option for option in _options(container) if UNCONFINED.search(option)]
    if container.about.get("AppArmorProfile") == "unconfined":
        disabled.append("AppArmor profile unconfined")
    expect(disabled, [])


def test_seccomp_in_force(machine: Machine, server: str) -> None:
    remedy = "run `make up`; if this does not help, the engine runs without seccomp: check its configuration"
    expect(machine.processes[server].status.get("Seccomp"), SECCOMP_FILTER, remedy)


def test_kernel_files_are_masked(container: Container) -> None:
    observed = {name: bool(container.host.get(name)) for name in ("MaskedPaths", "ReadonlyPaths")}
    expect(observed, {"MaskedPaths": True, "ReadonlyPaths": True})


@pytest.mark.parametrize("kind", NAMESPACES)
def test_own_namespace(container: Container, kind: str) -> None:
    mode = str(container.host.get(NAMESPACES[kind]) or "")
    shared = mode == "host" or mode.startswith("container:")
    expect_that(not shared, f"a {kind} namespace of its own", mode)


@pytest.mark.parametrize("name", DEVICES)
def test_no_device(container: Container, name: str) -> None:
    expect(container.host.get(name) or [], [])


@pytest.mark.parametrize("name", ENGINE_DEFAULTS)
def test_engines_default(container: Container, name: str) -> None:
    expect(container.host.get(name) or None, None)


# File systems ---------------------------------------------------------------------------------------------------------


def test_root_is_read_only(container: Container) -> None:
    expect(container.host["ReadonlyRootfs"], True)


def test_memory_folders(container: Container) -> None:
    wrong = [
        f"{path} ({options or 'no options'})"
        for path, options in container.memory_folders.items()
        if not TMPFS_PATHS.fullmatch(path) or UNSAFE_TMPFS_OPTIONS & set(options.split(","))
    ]
    expect(wrong, [])


def test_only_named_volumes(container: Container) -> None:
    wrong = [
        f"{mount['Type']} {mount.get('Name') or mount.get('Source')} on {mount['Destination']}"
        for mount in container.mounts
        if mount["Type"] != "volume" or ANONYMOUS.fullmatch(mount["Name"])
    ]
    # A volume with options can be a folder of this machine or of another one.
    wrong += [f"volume {name} with options" for name, volume in container.volumes.items() if volume.get("Options")]
    expect(wrong, [], "move their contents elsewhere, then run `make up`")


@pytest.mark.parametrize("place", ["data", "config", "secrets"])
def test_kept_on_a_volume(container: Container, place: str) -> None:
    path = container.location.placeholders[place]
    mount = container.mount_of(path)
    expect_that(mount is not None, f"a volume that holds {path}", "none: it is lost with the container")
    if mount is not None:
        expect(mount["RW"], place == "data", f"data must be writable, everything else read-only: {path}; run `make up`")


def test_mounts_are_private(container: Container) -> None:
    shared = [
        mount["Destination"] for mount in container.mounts if mount.get("Propagation", "") not in PRIVATE_PROPAGATION
    ]
    expect(shared, [])


def test_no_engine_socket(container: Container) -> None:
    ends = [str(mount.get(end, "")) for mount in container.mounts for end in ("Source", "Destination")]
    expect(
        [path for path in ends if SOCKETS.search(path)],
        [],
        "access to the engine's socket is as good as root: run `make up`",
    )


# Limits, restarts, health, logs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", LIMITS)
def test_limit(container: Container, limit: str) -> None:
    # The engine reports "no limit" as null, 0 or -1.
    observed = max(int(container.host.get(LIMITS[limit]) or 0), 0)
    expect(observed, container.location.limits.get(limit, 0))


def test_restart_policy(container: Container) -> None:
    expect(container.host["RestartPolicy"]["Name"], "unless-stopped")


def test_health(container: Container, request: pytest.FixtureRequest, server: str) -> None:
    test = (container.config.get("Healthcheck") or {}).get("Test") or []
    expect_that(bool(test) and test != ["NONE"], "a health check", "none")
    state = (container.about["State"].get("Health") or {}).get("Status", "none")
    if state == "starting":
        # Before the first health check has run, the server itself must answer.
        expect_that(request.getfixturevalue(f"{server}_pid") > 0, "the server answers", "it does not")
        return
    expect(state, "healthy", "check the server's log: `circlepay logs`; then run `make up`")


def test_log_rotation(container: Container) -> None:
    log = container.host["LogConfig"]
    missing = [name for name in ("max-size", "max-file") if not (log.get("Config") or {}).get(name)]
    expect(missing, [], f"the log ({log['Type']}) would grow until the disk is full: run `make up`")


# Network --------------------------------------------------------------------------------------------------------------


def test_published_only_as_declared(container: Container) -> None:
    inside = f"{container.location.placeholders['port']}/tcp"
    declared = {(inside, declared_address(container.location))}
    asked = {"all of the image's ports"} if container.host.get("PublishAllPorts") else set()
    remedy = "undeclared addresses are reachable, and this machine's firewall does not apply to them: run `make up`"
    expect(_sorted(container.published | asked), _sorted(declared), remedy)


def _sorted(addresses: set[Any]) -> list[Any]:
    return sorted(addresses, key=str)


def test_no_privileged_port(container: Container) -> None:
    low = sorted(address.port for _, address in container.published if address.port < LOWEST_PORT)
    expect(low, [], f"set the server's port to {LOWEST_PORT} or above, then run `make up`")


def test_own_network(container: Container) -> None:
    options = {name: each.get("Options") or {} for name, each in container.networks.items()}
    default = [name for name, each in options.items() if each.get("com.docker.network.bridge.default_bridge") == "true"]
    expect_that(bool(options), "a network", "none")
    others = sorted(set(options) - {container.location.names["network"]})
    expect(others, [], "containers on these networks can reach the server: run `make up`")
    expect(default, [], "every container on the engine's default network can reach the server: run `make up`")


def test_nothing_else_listens(machine: Machine, subject: Subject, server: str) -> None:
    port = int(subject.servers[server].placeholders["port"])
    others = sorted(
        each for each in set(machine.listeners.values()) - machine.listening(server, port) if each.ip != ENGINE_DNS
    )
    expect(others, [], "find out who started it in this container, then stop the container and run `make up`")


def test_no_remote_login(machine: Machine) -> None:
    found = sorted({name for name in machine.programs if name.startswith(REMOTE_LOGINS)})
    expect(found, [], "find out who started it in this container, then stop the container and run `make up`")


# Image and description ------------------------------------------------------------------------------------------------


def test_image_is_pinned(container: Container) -> None:
    reference = container.config["Image"]
    expect_that(bool(PINNED.fullmatch(reference)), "an image by digest or id", reference)
    # A container keeps running after its image was removed from the engine.
    if container.image:
        expect(container.about["Image"], container.image["Id"])


def test_no_secret_in_its_description(container: Container, subject: Subject) -> None:
    description = json.dumps([container.about, container.image, container.volumes, container.networks])
    # Shorter secrets could appear by chance.
    secrets = {name: secret for name, secret in subject.secrets().items() if len(secret.encode()) >= SHORTEST}
    found = [f"{leak.secret} ({leak.shape})" for leak in find_in_text(description, secrets)]
    remedy = "change the passwords named here: all users of the engine could read them; then run `make up`"
    if found:
        raise MismatchError([], found, remedy)
