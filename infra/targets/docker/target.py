"""Target `docker`: servers in containers of one engine.

Volumes, images and containers are resources of pulumi-docker. What it cannot do stands in this folder: the pinned image,
files written through the engine's API, data initialised before the server, limits and states of a container that runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import CirclePayError, TargetError
from infra.targets import ports
from infra.targets.docker import ownership
from infra.targets.docker.container_location import FIXED, placeholders
from infra.targets.location import Location
from infra.targets.spec import ServerSpec
from infra.targets.target import Claim, Mishaps
from infra.tunnels import is_remote, plain

if TYPE_CHECKING:
    from testinfra.host import Host

    from infra.provider.handler import Handler
    from infra.targets.docker.logs import ContainerLog
    from infra.targets.foreign import Foreign
    from infra.targets.machine import Machine
    from infra.targets.provisioning import Provisioner, Request

NAME = "docker"
LIBRARIES = ("requests", "docker")
"""What asking an engine takes."""
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (where such a server is reached from its own machine)


class DockerTarget:
    """See Target.

    Names of a location: `engine`, URL; `container`, `dataVolume`, `filesVolume`, `network`; `published`, ADDRESS:PORT that
    the engine publishes it on; `fixed`, see FIXED; and once its image is known `image`, id; `uid`, `uid:gid` it runs as;
    `dataMount`.
    """

    fixed = {
        "suffix": "the data's volume is named after it; set circlepay:docker.suffix back, or start over with "
        "`make down DATA=delete`"
    }
    isolated = True
    libraries = LIBRARIES
    former_types = {"ContainerPlace": "ServerLocation", "ContainerServer": "Server"}
    retired_types = frozenset({"circlepay:index:ContainerContents"})
    former_names = {"place": "ContainerPlace"}
    keeps_output = True
    checks = Path(__file__).with_name("checks")

    def claim(self, claim: Claim, kept: Location | None) -> Location:
        """The documented names and a port, which a reservation on the engine keeps."""
        from infra.targets.docker import reservations
        from infra.targets.docker.engine import connected, refuse_unsupported

        engine, request = claim.options["engine"], claim.port
        own = ownership.names(request.server, claim.options["suffix"])
        mark = ownership.labels(claim.clone, claim.stack, claim.project_root)
        what = f"place {request.server}"
        with connected(engine, what, own.container) as api:
            refuse_unsupported(api, what, engine)
            ownership.claim(api, what, own, mark, claim.secrets_id)
            port = reservations.reserve(api, own.container, request, mark, kept.port if kept else None)
        return located(claim, port)

    def foreseen(self, claim: Claim, kept: Location) -> Location:
        """The same names, and the port that is asked for."""
        return located(claim, claim.port.requested or kept.port)

    def find(self, location: Location, *, port_requested: bool) -> tuple[bool, str]:
        """Names cannot be gone; the reservation of its port can, or be another stack's by now."""
        from infra.targets.docker import reservations
        from infra.targets.docker.engine import connected

        mark = ownership.labels(location.clone, location.stack, location.project_root)
        try:
            with connected(location.names["engine"], "look for a reservation", location.names["container"]) as api:
                return True, reservations.problem(api, location.server, location.port, mark)
        except TargetError:
            return True, ""  # whoever is to change something on this engine says so

    def release(self, location: Location) -> None:
        """Gives the port back; data is on a volume, which is a resource of its own."""
        from infra.targets.docker import reservations
        from infra.targets.docker.engine import connected

        mark = ownership.labels(location.clone, location.stack, location.project_root)
        what = f"remove the location of {location.server}"
        with connected(location.names["engine"], what, location.names["container"]) as api:
            reservations.release(api, location.server, mark)
        ports.release(location.claimant)

    def describe(self, location: Location) -> tuple[str, str]:
        """The container, and the machine it is on where that is another one; the data's volume."""
        names = location.names
        elsewhere = f" on {plain(names['engine'])}" if is_remote(names["engine"]) else ""
        return f"container {names['container']}{elsewhere}", f"volume {names['dataVolume']}"

    @contextmanager
    def machine(self, location: Location, spec: ServerSpec) -> Iterator[Machine | None]:
        """The engine."""
        from infra.targets.docker.engine import connected
        from infra.targets.docker.machine import ContainerMachine

        names = location.names
        with connected(names["engine"], f"look after {spec.name}", f"container {names['container']}") as api:
            yield ContainerMachine(api, location, spec)

    def problem(self, location: Location) -> str:
        """What the engine says is wrong with the container."""
        from infra.targets.docker.engine import connected

        name = location.names["container"]
        try:
            with connected(location.names["engine"], "inspect the container", name) as api:
                found = ownership.inspected(api, name)
        except CirclePayError as error:
            return f"{error.path}: {error.cause}"
        if found is None:
            return f"there is no container {name}"
        state = found["State"]
        if state["Status"] == "running":
            return ""
        code = f" with exit code {state['ExitCode']}" if state["Status"] == "exited" else ""
        return f"container {name} is {state['Status']}{code}"

    def mishaps(self, location: Location) -> Mishaps | None:
        """By the engine, which forgets them when somebody starts the container."""
        from infra.targets.docker.engine import connected

        name = location.names["container"]
        try:
            with connected(location.names["engine"], "inspect the container", name) as api:
                found = ownership.inspected(api, name)
        except CirclePayError:
            return None
        return None if found is None else Mishaps(int(found["RestartCount"]), bool(found["State"].get("OOMKilled")))

    def leftovers(self, what: str, stack: str, engines: Sequence[str]) -> Iterator[str]:
        """See infra.targets.docker.unrecorded."""
        if engines or what in {"clone", "list"}:
            from infra.targets.docker import unrecorded

            yield from unrecorded.run(what, stack, engines)

    def log(self, location: Location, own: str = "") -> ContainerLog:
        """What the engine keeps of the container's output."""
        from infra.targets.docker.logs import ContainerLog

        return ContainerLog(location.names["engine"], location.names["container"])

    def host(self, location: Location) -> Host:
        """The inside of the container."""
        from infra.targets.docker.checks.container import connection

        return connection(location)

    def resource_types(self) -> list[Handler]:
        """Pinned image, what an image declares, network."""
        from infra.targets.docker import resource_types

        return resource_types.handlers()

    def secrets_ids(self, place: str, clone: str, stack: str) -> set[str]:
        """By the labels of its volumes. place: URL of an engine."""
        from infra.targets.docker.engine import connected, locate

        if place and "://" not in place:
            return set()
        try:
            with connected(place or locate("", os.environ), "look for the stack's volumes", place) as api:
                return ownership.secrets_of(api, clone, stack)
        except TargetError:
            if place:
                raise
            return set()

    def foreign(self) -> Foreign | None:
        """pulumi-docker's images, volumes and containers."""
        from infra.targets.docker import pulumi_docker

        return pulumi_docker

    def former_location(self, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """See earlier_release."""
        from infra.targets.docker import earlier_release

        return earlier_release.location_state(values)

    def former_server(self, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """See earlier_release."""
        from infra.targets.docker import earlier_release

        return earlier_release.server_state(values)

    def provisioner(self, request: Request, settings: Any) -> Provisioner:
        """See infra.targets.docker.provisioning."""
        from infra.targets.docker import provisioning

        return provisioning.provisioner(request, settings)


def located(claim: Claim, port: int) -> Location:
    """What a claim's server is called on its engine, published on that port."""
    engine, suffix, request = claim.options["engine"], claim.options["suffix"], claim.port
    own = ownership.names(request.server, suffix)
    return Location(
        target=NAME,
        server=request.server,
        clone=claim.clone,
        stack=claim.stack,
        project_root=claim.project_root,
        host=ANYWHERE.get(request.host, request.host),
        port=port,
        via=engine if is_remote(engine) else "",
        placeholders=placeholders(request.documented),
        names={
            "engine": engine,
            "container": own.container,
            "dataVolume": own.data_volume,
            "filesVolume": own.files_volume,
            "network": ownership.network_name(suffix),
            "published": published(request.host, port),
            FIXED: "yes",
        },
    )


def published(address: str, port: int) -> str:
    """`ADDRESS:PORT`, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


TARGET = DockerTarget()
