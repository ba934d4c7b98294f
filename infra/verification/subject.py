"""What the acceptance suite looks at, as data: where the servers are, their credentials, and what was declared for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from infra.targets import target as targets
from infra.targets.location import Location
from infra.targets.target import Target


@dataclass(frozen=True, kw_only=True)
class ServerSubject:
    """A server to look at. tunnel: host and port where the checks reach it instead of its own, through a tunnel."""

    location: Location
    tunnel: tuple[str, int] | None = None

    @property
    def host(self) -> str:
        """Where the checks reach it."""
        return self.tunnel[0] if self.tunnel else self.location.host

    @property
    def port(self) -> int:
        """Where the checks reach it."""
        return int(self.tunnel[1]) if self.tunnel else self.location.port

    @property
    def placeholders(self) -> Mapping[str, str]:
        """Placeholder -> value, as the server sees it: data, config, secrets, logs, run, host, port."""
        return self.location.placeholders

    @property
    def target(self) -> Target:
        """The target that knows its location."""
        return targets.load(self.location.target)

    def reached(self) -> Self:
        """The same as this process reaches it. Raises TunnelError when there is no way."""
        if not self.location.via:
            return self
        endpoint = self.location.endpoint()
        return replace(self, tunnel=(endpoint.host, endpoint.port))


@dataclass(frozen=True, kw_only=True)
class PostgresSubject(ServerSubject):
    """The PostgreSQL server to look at, and what was declared for it.

    connection_limit: -1 is no limit. parameters: declared setting -> value as PostgreSQL's configuration writes it
    ("128MB"). public_restricted: PUBLIC may not CONNECT to the database, nor make TEMPORARY tables in it. application_restricted:
    its role has no TRUNCATE, TRIGGER or MAINTAIN on tables.
    """

    superuser: str
    superuser_password: str = field(repr=False)
    database: str
    application_role: str
    application_password: str = field(repr=False)
    owner: str
    encoding: str
    locale: str
    locale_provider: str
    connection_limit: int = -1
    tablespace: str = "pg_default"
    parameters: Mapping[str, str] = field(default_factory=dict)
    redundant_indexes_dropped: bool = False
    public_restricted: bool = False
    application_restricted: bool = False


@dataclass(frozen=True, kw_only=True)
class RedisSubject(ServerSubject):
    """The Redis server to look at; `parameters` as redis.conf writes them ("256mb", "900 1 300 10")."""

    password: str = field(repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """Everything the suite has to know about a stack. It holds credentials: keep it out of logs, argv and environments.

    env_file: absolute path, or None where there is none to check (before it is first published). own_keys: names of the keys
    in it that the stack has added to the documented ones.
    """

    postgres: PostgresSubject
    redis: RedisSubject
    env_file: str | None = None
    own_keys: tuple[str, ...] = ()

    @property
    def servers(self) -> dict[str, PostgresSubject | RedisSubject]:
        """The servers by their names."""
        return {"postgres": self.postgres, "redis": self.redis}

    @property
    def isolated(self) -> list[str]:
        """Names of the servers that have a machine of their own each."""
        return [name for name, server in self.servers.items() if server.target.isolated]

    @property
    def check_folders(self) -> dict[str, list[str]]:
        """Folder of a target's own checks -> names of the servers that they are for."""
        found: dict[str, list[str]] = {}
        for name, server in self.servers.items():
            if server.target.checks is not None:
                found.setdefault(str(server.target.checks), []).append(name)
        return found

    def reached(self) -> Subject:
        """The subject with the servers as this process reaches them. Raises TunnelError when there is no way to one."""
        return replace(self, postgres=self.postgres.reached(), redis=self.redis.reached())

    def secrets(self) -> dict[str, str]:
        """Every secret in here, by a name that may be shown."""
        return {
            "superuser password": self.postgres.superuser_password,
            "application password": self.postgres.application_password,
            "redis password": self.redis.password,
        }

    def to_json(self) -> dict[str, Any]:
        """The subject as JSON types, secrets in plain: for a pipe or an encrypted output only."""
        locations = {name: {"location": server.location.to_json()} for name, server in self.servers.items()}
        plain = asdict(self)
        return {**plain, **{name: {**plain[name], **location} for name, location in locations.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Subject:
        """The subject that `to_json` wrote; numbers may arrive as floats, which is what the engine makes of them.

        Raises KeyError or TypeError for anything else, and for a target that does not exist.
        """
        postgres, redis = _section(value["postgres"]), _section(value["redis"])
        if "connection_limit" in postgres:
            postgres["connection_limit"] = int(postgres["connection_limit"])
        return cls(
            PostgresSubject(**postgres),
            RedisSubject(**redis),
            value.get("env_file"),
            tuple(value.get("own_keys") or ()),
        )


def _section(value: Mapping[str, Any]) -> dict[str, Any]:
    location = Location.from_json(value["location"])
    if location.target not in targets.names():
        raise KeyError(location.target)
    parameters = {name: str(text) for name, text in value.get("parameters", {}).items()}
    return {**value, "location": location, "parameters": parameters}
