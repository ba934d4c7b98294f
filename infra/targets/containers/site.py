"""Where one server lives on an engine: its container, image and volumes, and what its placeholders stand for inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from infra.targets import rendering
from infra.targets.spec import ServerSpec

FILES_ROOT = "/etc/circlepay"
"""Where a server's container sees its configuration and secrets."""
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
class Site:
    """One server's place.

    container: its name. image: id. user: `uid:gid` it runs as. data_volume, files_volume: names. data_mount: where the
    data's volume belongs; the data folder is that or below it. data: the data folder. labels: our mark. port: where the
    server listens inside the container.
    """

    container: str
    image: str
    user: str
    data_volume: str
    data_mount: str
    data: str
    files_volume: str
    port: int
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> User:
        """The user as numbers."""
        return User.parse(self.user)

    @property
    def places(self) -> dict[str, str]:
        """What the placeholders stand for inside the container: it listens on its own network, where it is published from."""
        folders = {name: f"{FILES_ROOT}/{name}" for name in FILE_FOLDERS}
        return {**folders, "data": self.data, "host": "0.0.0.0", "port": str(self.port)}  # noqa: S104

    def to_json(self) -> dict[str, Any]:
        """The site as JSON types; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Site:
        """The site that `to_json` wrote; numbers come back from the engine as floats."""
        return cls(**{**value, "port": int(value["port"])})


def argv(spec: ServerSpec, words: tuple[str, ...], places: Mapping[str, str]) -> list[str]:
    """One of the spec's commands inside a container, where its programs are on the image's PATH."""
    program = spec.packaging.programs.get(words[0], (words[0],))[0]
    return [program, *rendering.filled(words[1:], places)]
