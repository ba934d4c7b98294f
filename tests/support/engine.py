"""The container engine as tests meet it: what is there, a server in its container, and what a clone has on the engine.

Asked directly and without the package's own code, so that a defect of it cannot hide from its tests.
"""

from __future__ import annotations

import functools
import gc
import io
import json
import os
import tarfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import docker
import psutil
import requests
from docker.errors import APIError, DockerException, NotFound

from infra.targets.docker.engine import locate
from infra.verification.secret_scanner import Leak, find_in_text
from tests.images import references as test_images
from tests.support.archives import extract
from tests.support.placements import wait_until

FILES_ROOT = "/etc/circlepay"
CLONE = "io.circlepay.clone"
Image = tuple[str, int]
"""Product and major version, as tests/images/references.py tells them apart."""


def url() -> str:
    """Where the engine is that tests use."""
    return locate("", os.environ)


def client() -> Any:
    """The engine's API, whose stubs know half of it. Raises DockerException where no engine answers."""
    found, problem = _connected()
    if found is None:
        raise DockerException(problem)
    return found


@functools.cache
def _connected() -> tuple[Any, str]:
    """The client, or why there is none: asked once, since each client that finds no engine leaves a socket open.

    That socket is collected here: Python warns of it when it goes, which would fail whichever test runs at that moment.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return docker.APIClient(base_url=url(), version="auto", timeout=60), ""
        except (DockerException, requests.RequestException) as error:
            problem = str(error)
        gc.collect()
    return None, problem


def absent(images: Iterable[Image]) -> str:
    """What is not there of the engine and the images, for a person; empty when all of it is."""
    try:
        engine = client()
    except DockerException as error:
        return f"a container engine: {error}"
    missing = [reference for image in images if not _has(engine, reference := test_images.reference(*image))]
    return f"{', '.join(missing)} on the engine" if missing else ""


def _has(engine: Any, reference: str) -> bool:
    try:
        engine.inspect_image(reference)
    except NotFound:
        return False
    return True


@dataclass(frozen=True)
class ServerContainer:
    """A server in its container of an engine on this machine. Its files are below FILES_ROOT, by folder and name."""

    name: str
    port: int
    data_volume: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the engine says of it. Raises NotFound."""
        found: dict[str, Any] = client().inspect_container(self.name)
        return found

    @property
    def status(self) -> str:
        """The engine's word for its state, empty where there is no such container."""
        try:
            return str(self.facts["State"]["Status"])
        except NotFound:
            return ""

    @property
    def id(self) -> str:
        """The engine's id, another one for a container that was made anew."""
        return str(self.facts["Id"])

    @property
    def process(self) -> psutil.Process:
        """The server's process, as this machine numbers it."""
        return psutil.Process(int(self.facts["State"]["Pid"]))

    @property
    def identity(self) -> str:
        """Container and process; another one after a restart."""
        facts = self.facts
        return f"{facts['Id']} {facts['State']['Pid']} {facts['State']['StartedAt']}"

    @property
    def listening(self) -> set[tuple[str, int]]:
        """Where it is published, as the engine says, and where this machine listens on the same ports."""
        bindings = self.facts["NetworkSettings"]["Ports"].values()
        published = {(each["HostIp"], int(each["HostPort"])) for several in bindings for each in several or ()}
        ports = {port for _, port in published}
        return published | {
            (each.laddr.ip, each.laddr.port)
            for each in psutil.net_connections("inet")
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port in ports
        }

    def kill(self) -> None:
        """Ends it without warning, by the engine, which then leaves it ended."""
        client().kill(self.name, "SIGKILL")
        wait_until(lambda: self.status == "exited", seconds=30)

    def reload(self) -> None:
        """Has it read its files again, by hand."""
        client().kill(self.name, "SIGHUP")

    def restart(self) -> None:
        """Restarts it by hand, and waits until it listens again."""
        client().restart(self.name)
        wait_until(lambda: self.status == "running", seconds=30)

    @property
    def files_volume(self) -> str:
        """The volume with its configuration and secrets."""
        return next(str(mount["Name"]) for mount in self.facts["Mounts"] if mount["Destination"] == FILES_ROOT)

    def text(self, file: str) -> str:
        """One of its files."""
        return _only_file(_fetched(self.name, f"{FILES_ROOT}/{file}"))[1].decode()

    def edit(self, file: str, change: Callable[[str], str]) -> None:
        """One of its files edited by hand, with owner and mode as they were."""
        entry, content = _only_file(_fetched(self.name, f"{FILES_ROOT}/{file}"))
        content = change(content.decode()).encode()
        entry.size = len(content)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            archive.addfile(entry, io.BytesIO(content))
        folder = f"{FILES_ROOT}/{file}".rpartition("/")[0]
        with container_of(self.facts["Image"], binds=[f"{self.files_volume}:{FILES_ROOT}"]) as carrier:
            client().put_archive(carrier, folder, stream.getvalue())

    def has_data(self, file: str) -> bool:
        """Whether its data is kept, with that file in it, container or not."""
        if not has_volume(self.data_volume):
            return False
        with container_of(any_image(), binds=[f"{self.data_volume}:/kept"]) as looking:
            try:
                return bool(_fetched(looking, f"/kept/{file}"))
            except NotFound:
                return False

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left, its data included."""
        return not self.status and not has_volume(self.data_volume)

    def laid_out(self, folder: Path) -> Path:
        """That folder, with copies of its files, by `config`, `secrets` and so on, and of its data."""
        for mount in self.facts["Mounts"]:
            inside = folder if mount["Destination"] == FILES_ROOT else folder / "data"
            inside.mkdir(parents=True, exist_ok=True)
            with tarfile.open(fileobj=io.BytesIO(_fetched(self.name, f"{mount['Destination']}/."))) as archive:
                extract(archive, inside, "fully_trusted")  # modes as they are
        return folder

    def log(self) -> bytes:
        """Everything the engine keeps of what it printed."""
        return bytes(client().logs(self.name))


def has_volume(name: str) -> bool:
    """Whether the engine has a volume of that name."""
    try:
        client().inspect_volume(name)
    except NotFound:
        return False
    return True


def _fetched(container: str, path: str) -> bytes:
    chunks, _ = client().get_archive(container, path)
    return b"".join(chunks)


def _only_file(archive: bytes) -> tuple[tarfile.TarInfo, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        entry = opened.getmembers()[0]
        stream = opened.extractfile(entry)
        assert stream is not None
        return entry, stream.read()


def any_image() -> str:
    """One that tests have, for containers that do nothing."""
    return test_images.reference("redis", 7)


@contextmanager
def container_of(image: str, *argv: str, binds: Iterable[str] = (), **more: Any) -> Iterator[str]:
    """Somebody's container that is not started, gone afterwards; its id. more: as the SDK's `create_container` takes it."""
    host = client().create_host_config(binds=list(binds), network_mode="none")
    made = str(client().create_container(image, entrypoint=argv or ["true"], host_config=host, **more)["Id"])
    try:
        yield made
    finally:
        with suppress(NotFound):
            client().remove_container(made, force=True, v=True)


def output_of(image: str, *argv: str, binds: Iterable[str] = (), user: str | None = None) -> str:
    """What a container printed that ran to its end. AssertionError where it fails."""
    with container_of(image, *argv, binds=binds, user=user) as made:
        client().start(made)
        code = client().wait(made, timeout=60)["StatusCode"]
        output = str(client().logs(made).decode())
    assert code == 0, output
    return output


def belongings(clone_id: str) -> list[str]:
    """Everything on the engine with a clone's label: `container NAME`, `volume NAME`, `network NAME`."""
    filters = {"label": f"{CLONE}={clone_id}"}
    containers = [each["Names"][0].removeprefix("/") for each in client().containers(all=True, filters=filters)]
    volumes = [each["Name"] for each in client().volumes(filters=filters)["Volumes"] or ()]
    networks = [each["Name"] for each in client().networks(filters=filters)]
    kinds = {"container": containers, "volume": volumes, "network": networks}
    return [f"{kind} {name}" for kind, names in kinds.items() for name in sorted(names)]


def remove(belonging: str) -> None:
    """Removes one of `belongings` by force; one that is gone is fine."""
    kind, _, name = belonging.partition(" ")
    with suppress(NotFound):
        if kind == "container":
            client().remove_container(name, force=True, v=True)
        elif kind == "volume":
            client().remove_volume(name)
        else:
            client().remove_network(name)


def descriptions(clone_id: str) -> dict[str, str]:
    """What `docker inspect` prints of everything a clone has on the engine, images too; by kind and name."""
    found: dict[str, str] = {}
    for belonging in belongings(clone_id):
        kind, _, name = belonging.partition(" ")
        with suppress(NotFound, APIError):  # gone between two questions
            facts = getattr(client(), f"inspect_{kind}")(name)
            found[belonging] = json.dumps(facts)
            if kind == "container":
                found[f"image of {name}"] = json.dumps(client().inspect_image(facts["Image"]))
    return found


class EngineSampler:
    """Looks for secrets in the descriptions of everything a clone has on the engine while something runs.

    For containers that live for a moment only; `leaks` is complete once the context is left, `seen` names what it saw.
    """

    def __init__(self, secrets: Mapping[str, str], clone_id: str, *, interval: float = 0.1) -> None:
        self._secrets, self._clone_id, self._interval = secrets, clone_id, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="engine sampler", daemon=True)
        self.leaks: set[Leak] = set()
        self.seen: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            for place, text in descriptions(self._clone_id).items():
                self.seen.add(place)
                self.leaks |= set(find_in_text(text, self._secrets, place))
