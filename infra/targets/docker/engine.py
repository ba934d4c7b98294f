"""The container engine: where it is, how to connect to it, and what its errors mean."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from infra import files
from infra.changes import Finding, Severity
from infra.errors import TargetError
from infra.tunnels import is_remote, socket_of

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_ENGINE = "unix:///var/run/docker.sock"
LEAST_API = (1, 41)
"""Docker Engine 20.10."""
KEEPS_LOOPBACK = (1, 48)
"""Docker Engine 28: https://docs.docker.com/engine/release-notes/28/#2800."""
TIMEOUT = 60
"""Seconds the engine may take for one answer; pulls and waits are bounded where they are asked for."""
SETTING = "set circlepay:docker.host"
NO_SPACE = "no space left on device"
PORT_TAKEN = ("port is already allocated", "address already in use")


def locate(setting: str, environment: Mapping[str, str]) -> str:
    """The engine's URL, found as the docker command finds it: setting, DOCKER_HOST, docker context, default socket.

    Raises TargetError for a context that does not exist.
    """
    if setting:
        return setting
    if host := environment.get("DOCKER_HOST"):
        return host
    folder = Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME", "/")) / ".docker")
    context = environment.get("DOCKER_CONTEXT") or _current_context(folder)
    if context and context != "default":
        return _host_of(context, folder)
    rootless = Path(environment.get("XDG_RUNTIME_DIR", "/nonexistent")) / "docker.sock"
    default = Path(urlsplit(DEFAULT_ENGINE).path)
    return f"unix://{rootless}" if rootless.exists() and not default.exists() else DEFAULT_ENGINE


def _current_context(folder: Path) -> str:
    try:
        return str(json.loads(files.read(folder / "config.json", follow=True)).get("currentContext", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _host_of(context: str, folder: Path) -> str:
    """The engine of a docker context: `contexts/meta/<sha256 of its name>/meta.json` in docker's folder."""
    path = folder / "contexts" / "meta" / hashlib.sha256(context.encode()).hexdigest() / "meta.json"
    try:
        return str(json.loads(files.read(path, follow=True))["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        raise TargetError(
            "find the container engine",
            f"docker context {context}",
            "there is no such context, or it names no engine",
            f"docker context ls shows them; or {SETTING}",
        ) from None


_versions: dict[str, str] = {}
"""URL -> the version of its API, asked for once in a process."""


@contextmanager
def connected(url: str, operation: str, path: str) -> Iterator[APIClient]:
    """A client of the engine for one operation; what the engine refuses becomes a TargetError that says what to do.

    Raises TunnelError when there is no way to its machine.
    """
    import requests
    from docker import APIClient
    from docker.errors import APIError, DockerException

    local = socket_of(url) if is_remote(url) else url
    refuse_unreachable(local, operation)
    try:
        client = APIClient(base_url=local, version=_versions.get(url, "auto"), timeout=TIMEOUT)
        _versions[url] = client.api_version
    except (DockerException, requests.RequestException, ValueError) as error:
        raise unreachable(operation, url, error) from None
    try:
        yield client
    except APIError as error:
        raise refused(operation, path, str(error.explanation or error)) from None
    except (DockerException, requests.RequestException) as error:
        raise unreachable(operation, url, error) from None
    finally:
        client.close()


def refuse_unreachable(url: str, operation: str) -> None:
    """Raises TargetError when nothing listens at a socket of this machine; other kinds of URLs are not tried."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            client.connect(parts.path)
    except OSError as error:
        raise unreachable(operation, url, error) from None


def refuse_unsupported(api: APIClient, operation: str, url: str) -> None:
    """Raises TargetError for an engine that this target does not run on, before anything is made on it."""
    found = api.version(api_version=False)
    names = [str(component.get("Name", "")) for component in found.get("Components") or ()]
    if any("podman" in name.lower() for name in names):
        raise TargetError(
            operation,
            url,
            "this is Podman: it reports containers differently from how they were declared, so each `up` would "
            "recreate them, and their limits cannot be changed",
            "use Docker Engine 20.10 or later, rootless or not",
        )
    if _api_of(found) < LEAST_API:
        version = f"its API is {found['ApiVersion']}, at least {'.'.join(map(str, LEAST_API))} is needed"
        raise TargetError(operation, url, f"this engine is too old: {version}", "use Docker Engine 20.10 or later")


def shortcomings(api: APIClient) -> list[Finding]:
    """What the engine cannot do and does not report."""
    info, version = api.info(), api.version(api_version=False)
    found = []
    if info.get("CgroupDriver") == "none":
        cause = "it accepts limits of memory, processors and processes and does not enforce them (it has no cgroups)"
        found.append(Finding("container engine", cause, "delegate cgroups to it: docs/troubleshooting.md"))
    is_rootless = "name=rootless" in (
        info.get("SecurityOptions") or ()
    )  # its containers have no network that is routed
    if _api_of(version) < KEEPS_LOOPBACK and not is_rootless:
        cause = "before release 28 a host that routes to the containers' network reaches what is published on loopback alone"
        remedy = "use Docker Engine 28 or later, or drop such connections: docs/troubleshooting.md"
        found.append(Finding("container engine", cause, remedy, severity=Severity.NOTE))
    return found


def _api_of(version: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(map(int, str(version["ApiVersion"]).split(".")))


def unreachable(operation: str, url: str, error: Exception) -> TargetError:
    """The error for an engine that does not answer, or refuses this user."""
    text = str(error)
    if "Permission denied" in text:
        hint = "join the group that owns this socket (usually docker), use a rootless engine, or run as root"
        return TargetError(operation, url, "this user may not use the container engine", hint)
    if "No such file" in text or "refused" in text.lower():
        hint = f"start the engine (systemctl start docker), or {SETTING} to another"
        return TargetError(operation, url, "there is no container engine", hint)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return TargetError(
        operation, url, lines[-1] if lines else type(error).__name__, f"check whether it is running, or {SETTING}"
    )


def refused(operation: str, path: str, explanation: str) -> TargetError:
    """The engine's own refusal, with what to do where that is known."""
    explanation = re.sub(r" \([0-9a-f]{64}\)", "", explanation)  # an id that means nothing to a reader
    hint = ""
    lowered = explanation.lower()
    if NO_SPACE in lowered:
        hint = "free space where the engine keeps its data: docker system df; docker image prune"
    elif any(text in lowered for text in PORT_TAKEN):
        hint = "stop what listens there, or set another port for this server: circlepay:SERVER.port"
    elif "no such image" in lowered:
        hint = "pull or load the image, or set circlepay:docker.pullPolicy to missing"
    return TargetError(operation, path, explanation, hint)
