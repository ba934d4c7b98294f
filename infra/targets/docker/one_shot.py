"""Containers that run one command and are removed: write files, initialise data, print a version, repair credentials."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from infra.errors import TargetError
from infra.targets.docker import archives
from infra.targets.docker.container_location import FILES_ROOT, ContainerLocation
from infra.targets.docker.ownership import CLONE, ROLE, STACK
from infra.targets.server_logs import LINES, end_of

if TYPE_CHECKING:
    from docker import APIClient

SLICE = 1
"""Seconds of waiting for a container in one request."""
ONCE_FOLDER = "/run/circlepay"
"""Where such a container finds files that are only wanted once; they go with it."""
FILE_ACCESS = "carrier"
CLEANER = "clean"
SWEPT_ROLES = frozenset({FILE_ACCESS, CLEANER, "wipe", "version", "credentials"})
"""All but `initialize`, which has a name because what it leaves must be found."""
LEFTOVER_AGE = 600.0
"""Seconds after which a container without a name was left by a run that was killed: none of them lives that long."""


def binds(location: ContainerLocation, *, writable: bool) -> list[str]:
    """Mounts as the engine takes them. writable: of the files' volume, for a container that writes them.

    nocopy: else the engine gives an empty volume the mode and owner of the image's folder each time it makes a container.
    """
    access = "rw" if writable else "ro"
    return [
        f"{location.data_volume}:{location.data_mount}:nocopy",
        f"{location.files_volume}:{FILES_ROOT}:{access},nocopy",
    ]


def create(
    api: APIClient,
    location: ContainerLocation,
    command: Sequence[str],
    role: str,
    *,
    name: str | None = None,
    writable: bool = False,
    cleaner: bool = False,
) -> str:
    """A container without network and capabilities, not started yet; its id.

    cleaner: of root, who may touch files of any user, and who sees nothing but the files' volume.
    """
    program, *arguments = command
    made: dict[str, Any] = api.create_container(
        location.image,
        name=name,
        entrypoint=[program],
        command=arguments,
        user="0:0" if cleaner else location.user,
        environment={"LC_ALL": "C", "TZ": "UTC"},
        labels={**location.labels, ROLE: role},
        network_disabled=True,
        host_config=api.create_host_config(
            binds=binds(location, writable=writable or cleaner)[-1 if cleaner else 0 :],
            network_mode="none",
            cap_drop=["ALL"],
            cap_add=["DAC_OVERRIDE"] if cleaner else None,
            security_opt=["no-new-privileges:true"],
        ),
    )
    return str(made["Id"])


@contextmanager
def file_access(api: APIClient, location: ContainerLocation) -> Iterator[str]:
    """A container that never runs: the engine reads and writes its volumes through it."""
    container = create(api, location, ("true",), FILE_ACCESS, writable=True)
    try:
        yield container
    finally:
        remove(api, container)


def put_once(api: APIClient, container: str, location: ContainerLocation, files: Mapping[str, str]) -> None:
    """Files by name into ONCE_FOLDER of a container that has not started; no volume ever holds them."""
    folder = ONCE_FOLDER.rpartition("/")[2]
    content = archives.packed({f"{folder}/{name}": text for name, text in files.items()}, (folder,), location.owner)
    api.put_archive(container, ONCE_FOLDER.rpartition("/")[0], content)


def sweep(api: APIClient, location: ContainerLocation) -> None:
    """Removes the nameless containers that killed runs of this stack left behind."""
    mark = [f"{name}={value}" for name, value in location.labels.items() if name in (CLONE, STACK)]
    for summary in api.containers(all=True, filters={"label": [*mark, ROLE]}):
        if summary["Labels"][ROLE] in SWEPT_ROLES and time.time() - summary["Created"] > LEFTOVER_AGE:
            remove(api, summary["Id"])


def remove(api: APIClient, container: str) -> None:
    """Ends and removes a container of ours; one that is gone is fine. Volumes stay."""
    from docker.errors import NotFound

    with suppress(NotFound):
        api.remove_container(container, force=True, v=True)  # v: what the image wanted a volume for and we did not name


def stop_and_remove(api: APIClient, container: str) -> None:
    """Stops a server's container with its stop signal, however long that takes, and removes it."""
    api.stop(container, timeout=-1)
    remove(api, container)


def stop_at_once(api: APIClient, container: str) -> None:
    """Kills a container that runs one command; one that has ended or is gone is fine."""
    from docker.errors import APIError

    with suppress(APIError):
        api.kill(container)


def ended(
    api: APIClient, container: str, *, patience: float, cancelled: threading.Event, refuse: Callable[[str], TargetError]
) -> int:
    """Waits for a started container to end; its exit code. Raises what `refuse` makes when cancelled or out of patience."""
    import requests

    deadline = time.monotonic() + patience
    while True:
        # The engine tells at once when it has ended; in between a cancellation is noticed.
        with suppress(requests.exceptions.Timeout, requests.exceptions.ConnectionError):
            return int(api.wait(container, timeout=SLICE)["StatusCode"])
        if cancelled.is_set():
            raise refuse("cancelled; it is still running")
        if time.monotonic() > deadline:
            raise refuse(f"it did not end within {patience:.0f} s")


def run(
    api: APIClient,
    location: ContainerLocation,
    command: Sequence[str],
    role: str,
    *,
    once: Mapping[str, str] | None = None,
    patience: float = 60.0,
) -> tuple[int, str]:
    """Runs a command in a container of its own: its exit code and what it printed. once: files it finds in ONCE_FOLDER."""
    container = create(api, location, command, role, cleaner=role == CLEANER)
    try:
        if once:
            put_once(api, container, location, once)
        api.start(container)
        code = ended(
            api,
            container,
            patience=patience,
            cancelled=threading.Event(),
            refuse=lambda cause: TargetError(role, command[0], cause),
        )
        return code, output(api, container)
    finally:
        remove(api, container)


def empty(api: APIClient, location: ContainerLocation, operation: str) -> None:
    """Removes everything below the data folder. Raises TargetError; a folder that is not there is empty."""
    code, text = run(api, location, ("find", location.data, "-mindepth", "1", "-delete"), "wipe")
    if code and "No such file" not in text:
        raise TargetError(operation, f"volume {location.data_volume}", f"cannot empty it: {text.strip()}")


def delete(api: APIClient, location: ContainerLocation, paths: Iterable[str]) -> None:
    """Removes these files, and folders with all that is in them, from the files' volume. Raises TargetError."""
    command = ("rm", "-rf", "--", *(f"{FILES_ROOT}/{path}" for path in paths))
    code, text = run(api, location, command, CLEANER)
    if code:
        raise TargetError("remove foreign files", f"volume {location.files_volume}", text.strip())


def succeeded(state: Mapping[str, Any]) -> bool:
    """Whether a container, by its state on the engine, ended successfully."""
    return bool(state["Status"] == "exited" and state["ExitCode"] == 0)


def output(api: APIClient, container: str, lines: int | Literal["all"] = "all") -> str:
    """What a container printed, or the end of it."""
    return bytes(api.logs(container, tail=lines)).decode(errors="replace")


def tail(api: APIClient, container: str, secrets: Mapping[str, str]) -> str:
    """The last lines a container printed, indented, secrets masked."""
    return end_of(output(api, container, LINES), secrets) or "    (it printed nothing)"
