"""Location: where one server is. A tagged record, passed on whole from provisioning to every command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infra.endpoint import Endpoint
from infra.tunnels import reach

FOLDERS = ("data", "config", "secrets", "logs", "run")
"""Kinds of folders of a server; each is a placeholder of its spec."""


@dataclass(frozen=True)
class Location:
    """Where one server is, and how it is reached.

    target: the tag, name of the folder in infra/targets that understands `names`. server: its name. clone, stack,
    project_root: whose it is; together the mark that everything of it carries.
    host, port: where clients reach it, as its own machine sees that. via: `ssh://USER@HOST[:PORT]` of that machine,
    empty for this one. user: who it runs as, by name; empty: the user who runs Pulumi.
    placeholders: what the placeholders of its spec stand for, as the server sees them. names: what its parts are called
    on its target, as the target names them. limits: memory (bytes), nanoCpus and pids; 0: no limit.
    """

    target: str
    server: str
    clone: str
    stack: str
    project_root: str
    host: str
    port: int
    via: str = ""
    user: str = ""
    placeholders: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def claimant(self) -> str:
        """The server in a word that no other server has: who claims its port."""
        return claimant(self.clone, self.stack, self.server)

    def endpoint(self) -> Endpoint:
        """Where this process reaches it. Raises TunnelError when there is no way to its machine."""
        return reach(self.host, self.port, self.via)

    def completed(self, names: Mapping[str, str], **more: Any) -> Location:
        """The same with more names and other values."""
        return replace(self, names={**self.names, **names}, **more)

    def to_json(self) -> dict[str, Any]:
        """The location as JSON types, in the words of stack outputs; `from_json` is its inverse."""
        return {_JSON.get(name, name): _plain(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Location:
        """The location that `to_json` wrote; numbers come back from the engine as floats. Raises KeyError or TypeError."""
        values = {name: value[_JSON.get(name, name)] for name in cls.__dataclass_fields__}
        limits = {name: int(number) for name, number in values["limits"].items()}
        return cls(**{**values, "port": int(values["port"]), "limits": limits})


_JSON = {"project_root": "projectRoot"}


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def claimant(clone: str, stack: str, server: str) -> str:
    """The server in a word that no other server has."""
    return f"{clone}/{stack}/{server}"


def placeholders_below(folder: Path, host: str, port: int) -> dict[str, str]:
    """What the placeholders stand for where all folders of a server are in one."""
    folders = {name: str(folder / name) for name in FOLDERS}
    return {**folders, "host": host, "port": str(port)}
