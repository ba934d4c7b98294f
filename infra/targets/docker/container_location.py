"""A location on an engine: container, image and volumes, and what placeholders stand for inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.targets import rendering
from infra.targets.docker.ownership import labels
from infra.targets.location import Location
from infra.targets.spec import ServerSpec

FILES_ROOT = "/etc/circlepay"
"""Where a server's container sees its configuration and secrets."""
FIXED = "fixed"
"""Name of a location whose container gets the spec's fixed arguments: one that an earlier release made would be replaced
for them, so it keeps its command until it is placed anew."""
FILE_FOLDERS = ("config", "secrets", "logs", "run")


@dataclass(frozen=True)
class User:
    """Who the server runs as inside its container."""

    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"

    @classmethod
    def parse(cls, text: str) -> User:
        """The user that `str` wrote. Raises ValueError on anything else."""
        uid, _, gid = text.partition(":")
        return cls(int(uid), int(gid))


@dataclass(frozen=True)
class ContainerLocation:
    """The parts of a server on an engine.

    container: its name. image: id. user: `uid:gid` it runs as. data_volume, files_volume: names. data_mount: where the
    data's volume belongs; the data folder is that or below it. data: the data folder. labels: our mark.
    """

    container: str
    image: str
    user: str
    data_volume: str
    data_mount: str
    data: str
    files_volume: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> User:
        """The user as numbers."""
        return User.parse(self.user)

    @classmethod
    def of(cls, location: Location) -> ContainerLocation:
        """The parts that a location names, once its image is known."""
        names = location.names
        return cls(
            container=names["container"],
            image=names["image"],
            user=names["uid"],
            data_volume=names["dataVolume"],
            data_mount=names["dataMount"],
            data=location.placeholders["data"],
            files_volume=names["filesVolume"],
            labels=labels(location.clone, location.stack, location.project_root),
        )


def placeholders(port: int, data: str = "") -> dict[str, str]:
    """What the placeholders stand for inside the container: it listens on its own network, where it is published from."""
    folders = {name: f"{FILES_ROOT}/{name}" for name in FILE_FOLDERS}
    return {**folders, "data": data, "host": "0.0.0.0", "port": str(port)}  # noqa: S104


def argv(spec: ServerSpec, words: tuple[str, ...], placeholders: Mapping[str, str]) -> list[str]:
    """One of the spec's commands inside a container, where its programs are on the image's PATH."""
    program = spec.packaging.programs.get(words[0], (words[0],))[0]
    return [program, *rendering.filled(words[1:], placeholders)]
