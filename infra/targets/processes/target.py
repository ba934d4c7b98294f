"""Target `processes`: servers as ordinary processes of this machine, each in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import files
from infra.targets import data_root, ports
from infra.targets.location import Location, placeholders_below
from infra.targets.processes import placement
from infra.targets.processes.logs import FileLog
from infra.targets.processes.system_user import account
from infra.targets.spec import ServerSpec
from infra.targets.target import Claim

if TYPE_CHECKING:
    from testinfra.host import Host

    from infra.provider.handler import Handler
    from infra.targets.foreign import Foreign
    from infra.targets.machine import Machine
    from infra.targets.provisioning import Provisioner, Request

NAME = "processes"


class ProcessesTarget:
    """See Target. Names of a location: `folder`, absolute; `binaries`, `wheel` or the folder of its programs."""

    fixed = {
        "dataRoot": "the data is there; set circlepay:processes.dataDirectory back, or start over with "
        "`make down DATA=delete`"
    }
    isolated = False
    libraries = ("infra.targets.processes.machine",)
    former_types = {"ServerFolder": "ServerLocation"}
    retired_types: frozenset[str] = frozenset()
    former_names = {"folder": "ServerFolder"}
    keeps_output = False
    checks = None

    def claim(self, claim: Claim, kept: Location | None) -> Location:
        """The server's folder, whose mark keeps its port."""
        placed = placement.place(
            data_root=Path(claim.options["dataRoot"]),
            clone_id=claim.clone,
            stack=claim.stack,
            project_root=claim.project_root,
            spec_name=claim.port.server,
            host=claim.port.host,
            requested_port=claim.port.requested,
            documented_port=claim.port.documented,
            secrets_id=claim.secrets_id,
        )
        return located(placed, claim.clone, claim.stack, claim.project_root)

    def foreseen(self, claim: Claim, kept: Location) -> Location:
        """The same folder, with the address to listen on."""
        port, folder = claim.port.requested or kept.port, Path(kept.names["folder"])
        placed = placement.Placement(folder, claim.port.host, port, kept.user or None)
        return located(placed, claim.clone, claim.stack, claim.project_root)

    def find(self, location: Location, *, port_requested: bool) -> tuple[bool, str]:
        """Whether the marked folder is there."""
        found = placement.load(Path(location.names["folder"]))
        if found is None:
            return False, ""
        is_lost = not port_requested and placement.wants_another_port(found)
        return True, f"port {found.port} was taken by another program before the server ever ran" if is_lost else ""

    def release(self, location: Location) -> None:
        """Deletes the folder with its data."""
        placement.remove(Path(location.names["folder"]))
        ports.release(location.claimant)

    def describe(self, location: Location) -> tuple[str, str]:
        """Nothing but its process, and the data's folder."""
        return "", location.placeholders["data"]

    @contextmanager
    def machine(self, location: Location, spec: ServerSpec) -> Iterator[Machine | None]:
        """This machine."""
        from infra.targets.processes.machine import ProcessMachine

        found = placement.load(Path(location.names["folder"]))
        if found is not None:  # the mark may have another address by now than a location of before
            found = replace(found, host=location.host, port=location.port)
        yield None if found is None else ProcessMachine(location, spec, found)

    def mishaps(self, location: Location) -> None:
        """Nobody counts."""

    def problem(self, location: Location) -> str:
        """This machine keeps nothing about processes that have ended."""
        return ""

    def leftovers(self, what: str, stack: str, engines: Sequence[str]) -> Iterator[str]:
        """None: what a killed run leaves is in a folder that the state knows."""
        yield from ()

    def log(self, location: Location, own: str = "") -> FileLog:
        """Its own file, or the newest of its folder of logs."""
        if own:
            return FileLog(Path(own), account(location.user or None).uid)
        return FileLog(Path(location.placeholders["logs"]))

    def host(self, location: Location) -> Host:
        """This machine."""
        import testinfra

        return testinfra.get_host("local://")

    def resource_types(self) -> list[Handler]:
        """None: a folder and a process are all there is."""
        return []

    def secrets_ids(self, place: str, clone: str, stack: str) -> set[str]:
        """By the marks of its folders. place: the data directory."""
        if "://" in place:
            return set()
        root = data_root.located(Path(place) if place else data_root.default())
        marks = (root / clone / stack).glob(f"*/{data_root.MARK}")
        return {str(json.loads(files.read(mark))["secrets_id"]) for mark in marks}

    def foreign(self) -> Foreign | None:
        """None."""
        return None

    def former_location(self, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """See earlier_release."""
        from infra.targets.processes import earlier_release

        return earlier_release.location_state(values)

    def former_server(self, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """See earlier_release."""
        from infra.targets.processes import earlier_release

        return earlier_release.server_state(values)

    def provisioner(self, request: Request, settings: Any) -> Provisioner:
        """See infra.targets.processes.provisioning."""
        from infra.targets.processes.provisioning import ProcessesProvisioner

        return ProcessesProvisioner(request, settings)


def located(placed: placement.Placement, clone: str, stack: str, project_root: str) -> Location:
    """A folder as a location."""
    return Location(
        target=NAME,
        server=placed.folder.name,
        clone=clone,
        stack=stack,
        project_root=project_root,
        host=placed.host,
        port=placed.port,
        user=placed.system_user or "",
        placeholders=placeholders_below(placed.folder, placed.host, placed.port),
        names={"folder": str(placed.folder)},
    )


TARGET = ProcessesTarget()
