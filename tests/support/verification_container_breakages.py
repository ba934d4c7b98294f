"""Promises of containers broken on purpose, each with the checks that have to go red: those and no others.

UNLIKE: the container is made again otherwise than declared, and runs. DESCRIBED: what cannot be run on every engine, or
opens a machine too far for a test: the engine's description of a sound container, altered.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.images import references as test_images
from tests.support.containers import SECOND, ContainerStack, Description
from tests.support.verification_breakage import Breakage
from tests.support.verification_object_breakages import DROPPED_INDEX

Change = Callable[[ContainerStack, Description], object]


def unlike(name: str, change: Change, *fails: str, server: str = "redis") -> Breakage:
    """Broken by another container in the server's place. fails: checks of it, by their names without the server's."""

    def do(stack: ContainerStack) -> None:
        stack.again(server, lambda described: change(stack, described))

    return Breakage(name, do, lambda stack: stack.again(server), frozenset(_named(fails, server)))


def _named(fails: tuple[str, ...], server: str) -> set[str]:
    """The checks as the report names them: the server stands where the braces are, or at the end."""
    return {each.format(server) if "{}" in each else f"{each} {server}" for each in fails}


def host(**values: Any) -> Change:
    """Changes how the container is run."""
    return lambda _, described: described["HostConfig"].update(values)


def forget_everything(_: ContainerStack, described: Description) -> None:
    """What is left is what somebody types who only wants it to run."""
    kept = ("Binds", "NetworkMode", "PortBindings")
    described["HostConfig"] = {name: described["HostConfig"][name] for name in kept}
    del described["Healthcheck"]


def mount_too_much(stack: ContainerStack, described: Description) -> None:
    """The files can be written, the engine can be asked, and one volume has no name."""
    data, files = described["HostConfig"]["Binds"]
    socket = stack.subject.redis.location.names["engine"].removeprefix("unix://")
    described["HostConfig"]["Binds"] = [data, files.removesuffix(":ro"), f"{socket}:/engine.sock:ro"]
    described["Volumes"] = {"/etc/more": {}}


def publish_more(stack: ContainerStack, described: Description) -> None:
    """On another address of the machine too, and on a port of the machine's own services."""
    (bindings,) = described["HostConfig"]["PortBindings"].values()
    bindings += [{"HostIp": "127.0.0.2", "HostPort": str(stack.subject.redis.port)}]
    bindings += [{"HostIp": "127.0.0.2", "HostPort": "1021"}]


def show_secrets(stack: ContainerStack, described: Description) -> None:
    """One in the environment as a URL has it, one in a label as base64."""
    application, superuser = stack.subject.postgres.application_password, stack.subject.postgres.superuser_password
    described["Env"].append(f"DATABASE_URL=postgresql://circlepay_user:{quote(application, safe='')}@localhost/db")
    described["Labels"]["note"] = base64.b64encode(f"to keep: {superuser}".encode()).decode()


def by_tag(_: ContainerStack, described: Description) -> None:
    """Whatever the tag means by the next time."""
    described["Image"] = test_images.reference("redis", 7)


def unwell(stack: ContainerStack) -> None:
    """A health check that fails, until the engine says so."""

    def change(described: Description) -> None:
        described["Healthcheck"] |= {"Test": ["CMD", "false"], "Interval": SECOND // 4, "Retries": 1}

    stack.again("redis", change)
    stack.until("redis", "unhealthy")


def let_in(stack: ContainerStack) -> None:
    """A second program that listens, by the name of a remote login."""
    stack.inside("redis", "ln -sf $(command -v redis-server) /data/sshd")
    stack.inside("redis", "/data/sshd --port 2222 --save ''", detach=True)
    stack.inside("redis", "for i in 1 2 3 4 5 6 7 8 9; do redis-cli -p 2222 ping && exit; sleep 0.2; done; exit 1")


def leave(stack: ContainerStack) -> None:
    """What `let_in` started ends with the container."""
    stack.inside("redis", "rm /data/sshd")
    stack.again("redis")


FORGOTTEN = (
    *(f"containers: {name}" for name in ("capabilities", "no capability in force", "no new privileges")),
    *(f"containers: limit {{}}-{name}" for name in ("memory", "nanoCpus", "pids")),
    *(f"containers: {name}" for name in ("root is read only", "restart policy", "health", "log rotation")),
)

UNLIKE = [
    unlike("nothing but what makes Redis run", forget_everything, *FORGOTTEN),
    unlike("nothing but what makes PostgreSQL run", forget_everything, *FORGOTTEN, server="postgres"),
    unlike(
        "a capability is left",
        host(CapDrop=["NET_RAW"]),
        "containers: capabilities",
        "containers: no capability in force",
    ),
    unlike(
        "it runs as root",
        lambda _, described: described.update(User="0:0") or described["HostConfig"].update(CapAdd=["DAC_OVERRIDE"]),
        *(f"containers: {name}" for name in ("user", "capabilities", "no capability in force")),
        "processes: user",
        "processes: not root",
    ),
    unlike(
        "the kernel does not protect itself from it",
        host(SecurityOpt=["no-new-privileges:true", "seccomp=unconfined"], MaskedPaths=[], ReadonlyPaths=[]),
        *(f"containers: {name}" for name in ("security profiles", "seccomp in force", "kernel files are masked")),
    ),
    unlike(
        "it shares namespaces",
        lambda stack, described: described["HostConfig"].update(
            PidMode=f"container:{stack.plans['postgres'].name}", UTSMode="host", UsernsMode="host"
        ),
        *(f"containers: own namespace {{}}-{kind}" for kind in ("pid", "uts", "user")),
    ),
    unlike(
        "more is mounted than declared",
        mount_too_much,
        *(f"containers: {name}" for name in ("only named volumes", "no engine socket")),
        *(f"containers: kept on a volume {{}}-{name}" for name in ("config", "secrets")),
    ),
    unlike(
        "data in memory",
        lambda stack, described: described["HostConfig"].update(
            Binds=stack.plans["redis"].binds[1:], Tmpfs={"/tmp": "exec", "/data": "mode=0755,uid=999"}
        ),
        "containers: memory folders",
        "containers: kept on a volume {}-data",
        "files: private folder {}-data",
    ),
    unlike(
        "it is published elsewhere too",
        publish_more,
        *(f"containers: {name}" for name in ("published only as declared", "no privileged port")),
    ),
    unlike("it is on everybody's network", host(NetworkMode="bridge"), "containers: own network"),
    unlike(
        "it has what nobody declared",
        host(
            Devices=[{"PathOnHost": "/dev/null", "PathInContainer": "/dev/other", "CgroupPermissions": "r"}],
            DeviceCgroupRules=["c 1:3 r"],
            Ulimits=[{"Name": "nofile", "Soft": 2048, "Hard": 2048}],
            Sysctls={"net.core.somaxconn": "256"},
            GroupAdd=["0"],
            ExtraHosts=["example.test:127.0.0.1"],
        ),
        *(f"containers: no device {{}}-{name}" for name in ("Devices", "DeviceCgroupRules")),
        *(f"containers: engines default {{}}-{name}" for name in ("Ulimits", "Sysctls", "GroupAdd", "ExtraHosts")),
    ),
    unlike("secrets in its description", show_secrets, "containers: no secret in its description"),
    unlike("an image by its tag", by_tag, "containers: image is pinned"),
]

INSIDE = [
    Breakage("it is unwell", unwell, lambda stack: stack.again("redis"), frozenset({"containers: health redis"})),
    Breakage(
        "something else listens in it",
        let_in,
        leave,
        frozenset({"containers: nothing else listens redis", "containers: no remote login redis"}),
    ),
    Breakage(
        "others may read its secrets and data",
        lambda stack: stack.once("redis", "chmod", "755", "/data", "/etc/circlepay/secrets/password.conf"),
        lambda stack: (
            stack.once("redis", "chmod", "700", "/data"),
            stack.once("redis", "chmod", "600", "/etc/circlepay/secrets/password.conf"),
        ),
        frozenset({"files: private folder redis-data", "files: private files redis-secrets"}),
    ),
    DROPPED_INDEX,
]


@dataclass(frozen=True)
class Described:
    """A sound container's description and what is altered in it: `Key.Key` -> value. fails: checks, without a server."""

    name: str
    about: dict[str, Any]
    fails: frozenset[str]


def described(about: dict[str, Any], *fails: str) -> Described:
    """Named by what is altered."""
    return Described(", ".join(f"{key} {value}" for key, value in about.items()), about, frozenset(fails))


DESCRIBED = [
    described({"HostConfig.Privileged": True}, "not privileged"),
    described({"HostConfig.NetworkMode": "host"}, "own namespace network"),
    described({"HostConfig.NetworkMode": "container:other"}, "own namespace network"),
    described({"HostConfig.PidMode": "host"}, "own namespace pid"),
    described({"HostConfig.IpcMode": "host"}, "own namespace ipc"),
    described({"HostConfig.CapDrop": None}, "capabilities"),
    described({"HostConfig.CapAdd": ["SYS_ADMIN"]}, "capabilities"),
    described({"HostConfig.SecurityOpt": ["no-new-privileges", "apparmor=unconfined"]}, "security profiles"),
    described({"HostConfig.SecurityOpt": ["no-new-privileges", "label=disable"]}, "security profiles"),
    described({"AppArmorProfile": "unconfined"}, "security profiles"),
    described({"HostConfig.MaskedPaths": []}, "kernel files are masked"),
    described({"HostConfig.ReadonlyPaths": None}, "kernel files are masked"),
    described({"HostConfig.DeviceRequests": [{"Driver": "nvidia", "Count": -1}]}, "no device DeviceRequests"),
    described({"HostConfig.CgroupParent": "/elsewhere"}, "engines default CgroupParent"),
    described({"HostConfig.OomKillDisable": True}, "engines default OomKillDisable"),
    described({"HostConfig.Links": ["/other:/redis"]}, "engines default Links"),
    described({"HostConfig.VolumesFrom": ["other"]}, "engines default VolumesFrom"),
    described({"HostConfig.ReadonlyRootfs": False}, "root is read only"),
    described({"HostConfig.Tmpfs": {"/var/lib/more": ""}}, "memory folders"),
    described({"HostConfig.Tmpfs": {"/tmp": "rw,suid,size=64m"}}, "memory folders"),
    described({"HostConfig.Memory": 1}, "limit memory"),
    described({"HostConfig.NanoCpus": 0}, "limit nanoCpus"),
    described({"HostConfig.PidsLimit": -1}, "limit pids"),
    described({"HostConfig.RestartPolicy": {"Name": "always"}}, "restart policy"),
    described({"HostConfig.LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}}}, "log rotation"),
    described({"HostConfig.PublishAllPorts": True}, "published only as declared"),
    described(
        {"NetworkSettings.Ports": {"6379/tcp": None}, "HostConfig.PortBindings": {}}, "published only as declared"
    ),
    described(
        {"NetworkSettings.Ports": {"6379/tcp": [{"HostIp": "", "HostPort": "6379"}]}}, "published only as declared"
    ),
    described({"Config.User": ""}, "user"),
    described({"Config.User": "root:redis"}, "user"),
    described({"Config.Healthcheck": None}, "health"),
    described({"Config.Healthcheck": {"Test": ["NONE"]}}, "health"),
    described({"Config.Image": "redis:7-alpine"}, "image is pinned"),
    described({"Image": f"sha256:{'0' * 64}"}, "image is pinned"),
    described({"Mounts.0.Propagation": "rshared"}, "mounts are private"),
    described({"Mounts.0.Name": "0" * 64}, "only named volumes"),
    described(
        {"Mounts.0.Type": "bind", "Mounts.0.Source": "/run/podman/podman.sock"},
        "only named volumes",
        "no engine socket",
    ),
]
