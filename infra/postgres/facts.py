"""Observed state of a PostgreSQL server: plain records, in the shape in which `catalog.sql` returns them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Server:
    """version: as in server_version_num (180006). superuser: whether this session's user is one."""

    version: int = 0
    user: str = ""
    superuser: bool = False
    database: str = ""
    standby: bool = False

    @property
    def major(self) -> int:
        return self.version // 10000


@dataclass(frozen=True)
class Database:
    """provider: builtin, libc or icu. connection_limit: -1 is none. comment: None without one."""

    name: str
    owner: str
    encoding: str
    provider: str
    collate: str
    ctype: str
    locale: str
    tablespace: str
    connection_limit: int
    allows_connections: bool
    template: bool
    comment: str | None


@dataclass(frozen=True)
class Role:
    """A role's attributes. verifier: the stored SCRAM verifier, an MD5 hash, or None without a password."""

    name: str
    superuser: bool
    inherit: bool
    create_role: bool
    create_database: bool
    login: bool
    replication: bool
    bypass_rls: bool
    connection_limit: int
    expires: bool
    verifier: str | None = field(repr=False)
    comment: str | None


@dataclass(frozen=True)
class Membership:
    """`member` may act as `role`."""

    role: str
    member: str
    grantor: str


@dataclass(frozen=True)
class RoleSettings:
    """Settings from ALTER ROLE or ALTER DATABASE ... SET; an empty role or database means any. settings: `name=value`."""

    database: str
    role: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Schema:
    name: str
    owner: str


@dataclass(frozen=True)
class Table:
    """A table, view or foreign table. kind: pg_class.relkind. rows: the planner's estimate. bytes: of its main fork.

    forced: row security also for the owner. options: storage parameters and options of a view, `name=value`.
    """

    schema: str
    name: str
    kind: str
    owner: str
    unlogged: bool
    row_security: bool
    rows: float
    bytes: int
    definition: str
    internal_triggers_disabled: int
    forced: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    schema: str
    table: str
    name: str
    type: str
    not_null: bool
    default: str | None
    identity: str
    generated: str
    collation: str


@dataclass(frozen=True)
class Constraint:
    """kind: pg_constraint.contype (p, u, f, c, x). references: `schema.table` of a foreign key, else empty.

    inherited: it comes and goes with that of a parent table.
    """

    schema: str
    table: str
    name: str
    kind: str
    definition: str
    validated: bool
    references: str
    columns: tuple[str, ...]
    inherited: bool = False


@dataclass(frozen=True)
class Index:
    """columns: keys first, then included ones; an expression is an empty string. orders, classes, collations: per key.

    constraint: whether it belongs to a constraint. building: a session is building it at this moment. parent: `schema.name`
    of the partitioned table's index that it is a part of, else empty.
    """

    schema: str
    table: str
    name: str
    definition: str
    unique: bool
    valid: bool
    building: bool
    constraint: bool
    method: str
    partial: bool
    expressions: bool
    columns: tuple[str, ...]
    key_count: int
    orders: tuple[int, ...]
    classes: tuple[int, ...]
    collations: tuple[int, ...]
    bytes: int
    scans: int
    parent: str = ""


@dataclass(frozen=True)
class Trigger:
    """enabled: pg_trigger.tgenabled (O origin and local, D disabled, R replica, A always). inherited: of a parent table's."""

    schema: str
    table: str
    name: str
    definition: str
    enabled: str
    inherited: bool = False


@dataclass(frozen=True)
class TableRule:
    """A row security policy, or a rewrite rule. definition: what follows the table in its CREATE statement, or all of it."""

    schema: str
    table: str
    name: str
    definition: str


@dataclass(frozen=True)
class Function:
    """kind: pg_proc.prokind. definition: empty for aggregates and window functions."""

    schema: str
    name: str
    arguments: str
    kind: str
    owner: str
    definition: str


@dataclass(frozen=True)
class Sequence:
    """last_value: None until the first use. owned_by: `schema.table.column`, or empty."""

    schema: str
    name: str
    owner: str
    type: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool
    last_value: int | None
    owned_by: str


@dataclass(frozen=True)
class Type:
    schema: str
    name: str
    kind: str
    owner: str


@dataclass(frozen=True)
class OtherObject:
    """An object of a kind of which only the existence is compared; both words are pg_identify_object's."""

    kind: str
    name: str


@dataclass(frozen=True)
class Grant:
    """One privilege on one object, granted to a role other than its owner. detail: a column, or a function's arguments."""

    kind: str
    schema: str
    name: str
    detail: str
    owner: str
    grantor: str
    grantee: str
    privilege: str
    grantable: bool


@dataclass(frozen=True)
class OtherGrant:
    """A privilege on an object of a kind that is not managed here; object: as pg_describe_object describes it."""

    role: str
    object: str


@dataclass(frozen=True)
class DefaultGrant:
    """Default privilege: objects of `kind` that `creator` creates in `schema` (empty: any) grant it to `grantee`."""

    creator: str
    schema: str
    kind: str
    grantee: str
    privilege: str
    grantable: bool


@dataclass(frozen=True)
class Setting:
    """A row of pg_settings. value: in `unit`. file: the file that the value in force came from, else empty."""

    name: str
    value: str
    unit: str
    type: str
    context: str
    source: str
    file: str
    pending_restart: bool


@dataclass(frozen=True)
class Override:
    """A line that ALTER SYSTEM wrote into postgresql.auto.conf, in force or not yet."""

    name: str
    value: str


@dataclass(frozen=True)
class AppliedMigration:
    version: int
    name: str
    sha256: str


@dataclass(frozen=True)
class Catalog:
    """Observed state of the connected database and of its server.

    empty: nothing was ever created in the database (only `read_overview` fills this in). recorded: the table of applied
    migrations exists.
    """

    server: Server = Server()
    databases: tuple[Database, ...] = ()
    tablespaces: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    memberships: tuple[Membership, ...] = ()
    role_settings: tuple[RoleSettings, ...] = ()
    schemas: tuple[Schema, ...] = ()
    tables: tuple[Table, ...] = ()
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    policies: tuple[TableRule, ...] = ()
    rules: tuple[TableRule, ...] = ()
    functions: tuple[Function, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    types: tuple[Type, ...] = ()
    others: tuple[OtherObject, ...] = ()
    grants: tuple[Grant, ...] = ()
    other_grants: tuple[OtherGrant, ...] = ()
    default_grants: tuple[DefaultGrant, ...] = ()
    settings: tuple[Setting, ...] = ()
    overrides: tuple[Override, ...] = ()
    migrations: tuple[AppliedMigration, ...] = ()
    recorded: bool = False
    empty: bool = False

    def database(self, name: str) -> Database | None:
        return next((database for database in self.databases if database.name == name), None)

    def role(self, name: str) -> Role | None:
        return next((role for role in self.roles if role.name == name), None)
