"""Target: where servers run. Each is one folder beside this file, found by its name; nothing else names one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from infra.targets.location import Location
from infra.targets.machine import Machine
from infra.targets.ports import PortRequest
from infra.targets.spec import ServerSpec

if TYPE_CHECKING:
    from testinfra.host import Host

    from infra.provider.handler import Handler
    from infra.targets.foreign import Foreign
    from infra.targets.provisioning import Provisioner, Request


Upgrade = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Claim:
    """What a target needs to place one server. secrets_id: set of secrets the data is made with.

    options: the target's own settings of the stack, as far as they say where the server is.
    """

    clone: str
    stack: str
    project_root: str
    port: PortRequest
    secrets_id: str
    options: Mapping[str, Any] = field(default_factory=dict)


class Mishaps(NamedTuple):
    """What befell a server. restarts: starts by its target itself, after it ended. out_of_memory: something in it was killed
    at its memory limit."""

    restarts: int
    out_of_memory: bool


class Log(Protocol):
    """Where one server's lines are."""

    def title(self) -> str:
        """Where they are read now, for messages. Raises TargetError when there is no log."""

    def last_lines(self, count: int) -> list[str]:
        """At most `count` lines from the end, without line ends. Raises TargetError when it cannot be read."""

    def watch(self, lines: int, stop: Callable[[], bool]) -> Iterator[str | None]:
        """The last lines, then every new one, and None whenever there is nothing new; ends once stop() is true."""


class Target(Protocol):
    """One kind of place for servers. Methods raise TargetError where the place refuses."""

    fixed: Mapping[str, str]
    """Options that cannot change once the server is there -> what to do instead."""
    isolated: bool
    """Whether each server has a machine of its own, shared with no other processes and files."""
    keeps_output: bool
    """Whether what a server prints is kept and rotated by the target, so that it needs no log file."""
    libraries: tuple[str, ...]
    """Modules that this target imports late and that bring a library."""
    former_types: Mapping[str, str]
    """Types that earlier releases had for this target's locations and servers -> those of now."""
    retired_types: frozenset[str]
    """Types that they had and that have no successor: they only leave the state."""
    former_names: Mapping[str, str]
    """Last part of a location's name then -> its type then."""
    checks: Path | None
    """Folder of checks that only this target's servers need."""

    def claim(self, claim: Claim, kept: Location | None) -> Location:
        """Takes names and port for a server, or finds those taken before. kept: as the state has it."""

    def foreseen(self, claim: Claim, kept: Location) -> Location:
        """What `claim` will return for a server that is there, if nothing refuses it. Pure."""

    def find(self, location: Location, *, port_requested: bool) -> tuple[bool, str]:
        """Whether the place is still there, and why it needs another port (empty: it does not)."""

    def release(self, location: Location) -> None:
        """Gives everything at the location back, data included where no other resource holds it."""

    def describe(self, location: Location) -> tuple[str, str]:
        """What the server runs in, and what holds its data, for messages."""

    def machine(self, location: Location, spec: ServerSpec) -> AbstractContextManager[Machine | None]:
        """The server's machine; None where the place is gone."""

    def problem(self, location: Location) -> str:
        """What the place itself says is wrong with the server; empty when nothing is."""

    def leftovers(self, what: str, stack: str, engines: Sequence[str]) -> Iterator[str]:
        """What killed runs left and no state knows of: removed, or only listed, one line each.

        what: `unfinished`, what would block a `down` of the stack; `stack`, all that it has; `clone`, all of every
        stack, and `list`, its names only: both also where servers run when nothing else is set.
        """

    def mishaps(self, location: Location) -> Mishaps | None:
        """What befell the server since it was last started on purpose; None where nobody counts, or nothing answers."""

    def log(self, location: Location, own: str = "") -> Log:
        """The server's log. own: path of a file of its own that it logs to; empty: where the target has its logs."""

    def host(self, location: Location) -> Host:
        """testinfra's connection to where the server runs."""

    def resource_types(self) -> list[Handler]:
        """Resource types that only this target has."""

    def secrets_ids(self, place: str, clone: str, stack: str) -> set[str]:
        """Ids of the sets of secrets that a stack's data was created with.

        place: where to look, as the target names it; empty: where it is when nothing else is set. None are found in what
        is another target's place. Raises TargetError where a named place does not answer.
        """

    def foreign(self) -> Foreign | None:
        """What is known of another provider's resources that its provisioner declares; None where it declares none."""

    def former_location(self, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """A location's state that such a release wrote, as it is written now; None for one that is not this target's."""

    def former_server(self, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The same for a server's state."""

    def provisioner(self, request: Request, settings: Any) -> Provisioner:
        """Makes servers as Pulumi resources. settings: the target's section of the stack's settings."""


def names() -> list[str]:
    """Every target there is."""
    return sorted(item.name for item in pkgutil.iter_modules([str(Path(__file__).parent)]) if item.ispkg)


def load(name: str) -> Target:
    """The target of that name; ModuleNotFoundError for one that does not exist."""
    return cast(Target, importlib.import_module(f"infra.targets.{name}.target").TARGET)


def upgraded_location(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A location's state as this release writes it, whichever wrote it."""
    if "target" in values:
        return values
    return _upgraded(values, [load(name).former_location for name in names()])


def upgraded_server(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A server's state as this release writes it, whichever wrote it."""
    if "location" in values:
        return values
    return _upgraded(values, [load(name).former_server for name in names()])


def _upgraded(values: Mapping[str, Any], upgrades: Iterable[Upgrade]) -> Mapping[str, Any]:
    return next((found for upgrade in upgrades if values and (found := upgrade(values)) is not None), values)


def retired_types() -> frozenset[str]:
    """Resource types of earlier releases that only leave the state."""
    return frozenset().union(*(load(name).retired_types for name in names()))
