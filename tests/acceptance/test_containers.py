"""Each container is hardened, limited and private, as its engine describes it and as its process runs.

For servers in containers only. docs/container-hardening.md says which section of the CIS Docker Benchmark is proved by
which of these.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from infra.verification import Subject
from tests.acceptance.container import Container, declared_address
from tests.acceptance.expectation import MismatchError, expect, expect_that
from tests.acceptance.machine import Machine
from tests.secret_scanner import SHORTEST, find_in_text

NO_CAPABILITIES = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000")
FILTERED = "2"
"""/proc's Seccomp of a process whose system calls pass a filter."""
UNCONFINED = re.compile(r"(seccomp|apparmor|systempaths)[=:]unconfined|label[=:]disable")
PINNED = re.compile(r"(?:.+@)?sha256:[0-9a-f]{64}")
ANONYMOUS = re.compile(r"[0-9a-f]{64}")
"""The engine names a volume like this when nobody else does."""
IN_MEMORY = re.compile(r"/tmp|(/var)?/run(/.*)?")
OPENED = {"exec", "suid", "dev"}
"""Options of a tmpfs that take back what the engine forbids in one."""
PRIVATE = ("", "private", "rprivate")
SOCKETS = re.compile(r"(docker|podman|containerd|crio|engine)[^/]*\.sock$")
REMOTE_LOGINS = ("sshd", "dropbear")
ENGINES_NAME_SERVER = "127.0.0.11"
"""The engine itself answers there, inside of every container on a network with names."""
NAMESPACES = {
    "network": "NetworkMode",
    "pid": "PidMode",
    "ipc": "IpcMode",
    "uts": "UTSMode",
    "user": "UsernsMode",
}
DEVICES = ("Devices", "DeviceRequests", "DeviceCgroupRules")
LEFT_ALONE = ("Ulimits", "Sysctls", "CgroupParent", "OomKillDisable", "GroupAdd", "Links", "VolumesFrom", "ExtraHosts")
LIMITS = {"memory": "Memory", "nanoCpus": "NanoCpus", "pids": "PidsLimit"}
LOWEST_PORT = 1024
"""Ports below are the machine's own services'."""


def _options(container: Container) -> list[str]:
    return container.host.get("SecurityOpt") or []


# Who it is and what it may do -----------------------------------------------------------------------------------------


def test_user(container: Container) -> None:
    user = str(container.config["User"])
    expect_that(
        user.partition(":")[0] not in ("", "0", "root"), "runs as a user that is not root", user or "nobody said"
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
    taken_away = [option for option in _options(container) if UNCONFINED.search(option)]
    if container.about.get("AppArmorProfile") == "unconfined":
        taken_away.append("AppArmor profile unconfined")
    expect(taken_away, [])


def test_seccomp_in_force(machine: Machine, server: str) -> None:
    remedy = "run `make up`; if it stays, the engine itself runs without seccomp: see its configuration"
    expect(machine.processes[server].status.get("Seccomp"), FILTERED, remedy)


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


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_engines_default(container: Container, name: str) -> None:
    expect(container.host.get(name) or None, None)


# What it can write ----------------------------------------------------------------------------------------------------


def test_root_is_read_only(container: Container) -> None:
    expect(container.host["ReadonlyRootfs"], True)


def test_memory_folders(container: Container) -> None:
    wrong = [
        f"{path} ({options or 'no options'})"
        for path, options in container.memory_folders.items()
        if not IN_MEMORY.fullmatch(path) or OPENED & set(options.split(","))
    ]
    expect(wrong, [])


def test_only_named_volumes(container: Container) -> None:
    wrong = [
        f"{mount['Type']} {mount.get('Name') or mount.get('Source')} on {mount['Destination']}"
        for mount in container.mounts
        if mount["Type"] != "volume" or ANONYMOUS.fullmatch(mount["Name"])
    ]
    # With options a volume is a folder of the machine, or another machine's.
    wrong += [f"volume {name} with options" for name, volume in container.volumes.items() if volume.get("Options")]
    expect(wrong, [], "move what is in them away, then run `make up`")


@pytest.mark.parametrize("place", ["data", "config", "secrets"])
def test_kept_on_a_volume(container: Container, place: str) -> None:
    path = container.place.all_places[place]
    mount = container.mount_of(path)
    expect_that(mount is not None, f"a volume that holds {path}", "none: it goes with the container")
    if mount is not None:
        expect(
            mount["RW"], place == "data", f"only data may be written from inside, and has to be: {path}; run `make up`"
        )


def test_mounts_are_private(container: Container) -> None:
    shared = [mount["Destination"] for mount in container.mounts if mount.get("Propagation", "") not in PRIVATE]
    expect(shared, [])


def test_no_engine_socket(container: Container) -> None:
    ends = [str(mount.get(end, "")) for mount in container.mounts for end in ("Source", "Destination")]
    expect([path for path in ends if SOCKETS.search(path)], [], "whoever reaches the engine is root: run `make up`")


# What it may use, and what becomes of it ------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", LIMITS)
def test_limit(container: Container, limit: str) -> None:
    # The engine says "none" as null, 0 or -1.
    observed = max(int(container.host.get(LIMITS[limit]) or 0), 0)
    expect(observed, container.place.limits.get(limit, 0))


def test_restart_policy(container: Container) -> None:
    expect(container.host["RestartPolicy"]["Name"], "unless-stopped")


def test_health(container: Container, request: pytest.FixtureRequest, server: str) -> None:
    test = (container.config.get("Healthcheck") or {}).get("Test") or []
    expect_that(bool(test) and test != ["NONE"], "a health check", "none")
    state = (container.about["State"].get("Health") or {}).get("Status", "none")
    if state == "starting":
        # The first check is still to come: then the server itself has to say that it is well.
        expect_that(request.getfixturevalue(f"{server}_pid") > 0, "answers", "does not")
        return
    expect(state, "healthy", "`circlepay logs` shows what the server says; run `make up`")


def test_log_rotation(container: Container) -> None:
    log = container.host["LogConfig"]
    missing = [name for name in ("max-size", "max-file") if not (log.get("Config") or {}).get(name)]
    expect(missing, [], f"the log ({log['Type']}) would grow until the disk is full: run `make up`")


# Who reaches it -------------------------------------------------------------------------------------------------------


def test_published_only_as_declared(container: Container) -> None:
    inside = f"{container.place.all_places['port']}/tcp"
    declared = {(inside, declared_address(container.place))}
    asked = {"all of the image's ports"} if container.host.get("PublishAllPorts") else set()
    remedy = "others reach what was not declared, past this machine's firewall: run `make up`"
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
    expect(default, [], "any other container on the engine's default network reaches the server: run `make up`")


def test_nothing_else_listens(machine: Machine, subject: Subject, server: str) -> None:
    port = int(subject.servers[server].all_places["port"])
    strangers = set(machine.listeners.values()) - machine.listening(server, port)
    others = sorted(each for each in strangers if each.ip != ENGINES_NAME_SERVER)
    expect(others, [], "find out who started it in this container, then stop the container and run `make up`")


def test_no_remote_login(machine: Machine) -> None:
    found = sorted({name for name in machine.programs if name.startswith(REMOTE_LOGINS)})
    expect(found, [], "find out who started it in this container, then stop the container and run `make up`")


# What it is made of ---------------------------------------------------------------------------------------------------


def test_image_is_pinned(container: Container) -> None:
    reference = container.config["Image"]
    expect_that(bool(PINNED.fullmatch(reference)), "an image by digest or id", reference)
    # An engine that has lost the image still runs what was made of it.
    if container.image:
        expect(container.about["Image"], container.image["Id"])


def test_no_secret_in_its_description(container: Container, subject: Subject) -> None:
    description = json.dumps([container.about, container.image, container.volumes, container.networks])
    # Shorter than that it could be there by chance.
    secrets = {name: secret for name, secret in subject.secrets().items() if len(secret.encode()) >= SHORTEST}
    found = [f"{leak.secret} ({leak.shape})" for leak in find_in_text(description, secrets)]
    remedy = "change the passwords named here: everybody who may ask the engine could read them; then run `make up`"
    if found:
        raise MismatchError([], found, remedy)
