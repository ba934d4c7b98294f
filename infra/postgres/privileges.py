"""Privileges of the application's role, of the objects' owner and of PUBLIC in the database.

Documented: CONNECT on the database, USAGE on schema public, ALL on every table and sequence in it, and the same for
those that the owner creates later. ALL includes TRUNCATE, REFERENCES, TRIGGER and, from PostgreSQL 17, MAINTAIN; a stack
may withhold what reaches beyond rows. Nobody but a superuser sets or persists a parameter that is reserved for superusers.
The plan is authoritative for the role and PUBLIC: missing privileges are granted, extra ones revoked. Grants to other roles
are reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.changes import Change
from infra.postgres.execution import joined, raw
from infra.postgres.facts import Catalog, DefaultGrant, Grant
from infra.postgres.migrations import RECORD_SCHEMA

if TYPE_CHECKING:
    from psycopg.sql import Composable

PUBLIC = "PUBLIC"
APPLICATION_SCHEMA = "public"
MANAGED_SCHEMAS = (APPLICATION_SCHEMA, RECORD_SCHEMA)
BEYOND_ROWS = frozenset({"TRUNCATE", "TRIGGER", "MAINTAIN"})
"""What of ALL on a table reaches past rows: code that runs as the owner in a cascade, rows gone past triggers, locks."""
_DEFAULT_KINDS = {"TABLES": "table", "SEQUENCES": "sequence"}


@dataclass(frozen=True)
class PrivilegesDeclaration:
    """owner: the role that runs the migrations. strict: PUBLIC loses its default CONNECT and TEMPORARY on the database.

    restricted: the role has no more than it needs for rows, see BEYOND_ROWS.
    """

    role: str = "circlepay_user"
    owner: str = "circlepay_owner"
    strict: bool = False
    restricted: bool = False


@dataclass(frozen=True, order=True)
class Object:
    """An object that privileges are granted on. detail: a column, or a function's arguments."""

    kind: str
    schema: str
    name: str
    detail: str = ""

    def __str__(self) -> str:
        qualified = f"{self.schema}.{self.name}" if self.schema else self.name
        if self.kind in {"function", "procedure"}:
            return f"{self.kind} {qualified}({self.detail})"
        return f"{self.kind} {qualified}.{self.detail}" if self.detail else f"{self.kind} {qualified}"


@dataclass(frozen=True)
class Expectation:
    """A privilege that can be tested as the role. allowed: whether the role must have it."""

    object: Object
    privilege: str
    allowed: bool


def all_privileges(kind: str, major: int) -> tuple[str, ...]:
    """All privileges for objects of `kind`, as aclexplode names them (PostgreSQL documentation, table 5.2)."""
    table = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
    return {
        "database": ("CONNECT", "TEMPORARY", "CREATE"),
        "schema": ("USAGE", "CREATE"),
        "table": (*table, "MAINTAIN") if major >= 17 else table,
        "sequence": ("USAGE", "SELECT", "UPDATE"),
        "column": ("SELECT", "INSERT", "UPDATE", "REFERENCES"),
        "function": ("EXECUTE",),
        "procedure": ("EXECUTE",),
        "type": ("USAGE",),
    }[kind]


def wanted(item: Object, grantee: str, declared: PrivilegesDeclaration, major: int) -> frozenset[str]:
    """The declared privileges of the role, the owner or PUBLIC on `item`; the owner's on its own objects need no grant."""
    if grantee == declared.owner:
        return _of_owner(item)
    if grantee == PUBLIC:
        return _of_public(item, declared, major)
    if item.kind == "database":
        return frozenset({"CONNECT"})
    if item.kind == "schema":
        return frozenset({"USAGE"}) if item.name == APPLICATION_SCHEMA else frozenset()
    in_application = item.schema == APPLICATION_SCHEMA and item.kind in {"table", "sequence"}
    return _of_role(item.kind, declared, major) if in_application else frozenset()


def _of_role(kind: str, declared: PrivilegesDeclaration, major: int) -> frozenset[str]:
    """The role's privileges on each table or sequence of the application."""
    withheld = BEYOND_ROWS if declared.restricted and kind == "table" else frozenset()
    return frozenset(all_privileges(kind, major)) - withheld


def _of_owner(item: Object) -> frozenset[str]:
    """CREATE on the database is for schemas, and for the extensions that PostgreSQL trusts; CONNECT for what it runs itself."""
    if item.kind == "database":
        return frozenset({"CREATE", "CONNECT", "TEMPORARY"})
    return frozenset({"USAGE", "CREATE"}) if (item.kind, item.name) == ("schema", APPLICATION_SCHEMA) else frozenset()


def _of_public(item: Object, declared: PrivilegesDeclaration, major: int) -> frozenset[str]:
    if item.kind == "database":
        return frozenset() if declared.strict else frozenset({"CONNECT", "TEMPORARY"})
    if item.kind == "schema":
        return frozenset({"USAGE"}) if item.name == APPLICATION_SCHEMA else frozenset()
    # PostgreSQL's own default; the trigger function needs no privilege to fire.
    own_default = item.kind in {"function", "procedure", "type"}
    return frozenset(all_privileges(item.kind, major)) if own_default else frozenset()


def expected(catalog: Catalog, declared: PrivilegesDeclaration) -> list[Expectation]:
    """Every privilege on every managed object, and whether the role must have it, directly or through PUBLIC."""
    major = catalog.server.major
    found = []
    for item in sorted(set(_objects(catalog))):
        allowed = wanted(item, declared.role, declared, major) | wanted(item, PUBLIC, declared, major)
        found += [Expectation(item, privilege, privilege in allowed) for privilege in all_privileges(item.kind, major)]
    return found


def _objects(catalog: Catalog) -> Iterator[Object]:
    """The database, and the objects in the managed schemas."""
    yield Object("database", "", catalog.server.database)
    yield from (Object("schema", "", schema.name) for schema in catalog.schemas if schema.name in MANAGED_SCHEMAS)
    yield from (
        Object("table", table.schema, table.name) for table in catalog.tables if table.schema in MANAGED_SCHEMAS
    )
    yield from (
        Object("sequence", item.schema, item.name) for item in catalog.sequences if item.schema in MANAGED_SCHEMAS
    )
    for function in catalog.functions:
        if function.schema in MANAGED_SCHEMAS and function.kind in {"f", "p"}:
            kind = "procedure" if function.kind == "p" else "function"
            yield Object(kind, function.schema, function.name, function.arguments)


def plan(catalog: Catalog, declared: PrivilegesDeclaration, *, tables_follow: bool = False) -> list[Change]:
    """Changes that bring the privileges to their declaration; empty when none is needed. Pure.

    tables_follow: the catalog was read before migrations that create tables, so ALL ON ALL TABLES is always granted.
    """
    grants = _by_object_and_grantee(catalog.grants)
    grantees = (PUBLIC, declared.role)
    missing = _grant_missing(catalog, declared, grants, grantees, tables_follow=tables_follow)
    return [*_revoke_extra(catalog, declared, grants), *missing, *_default_privileges(catalog, declared)]


def plan_owner(catalog: Catalog, declared: PrivilegesDeclaration) -> list[Change]:
    """What the owner needs before the migrations run: to create in the database and in the application's schema. Pure."""
    grants = _by_object_and_grantee(catalog.grants)
    return _grant_missing(catalog, declared, grants, (declared.owner,))


def _by_object_and_grantee(grants: Iterable[Grant]) -> dict[tuple[Object, str], list[Grant]]:
    found: dict[tuple[Object, str], list[Grant]] = defaultdict(list)
    for grant in grants:
        found[Object(grant.kind, grant.schema, grant.name, grant.detail), grant.grantee].append(grant)
    return found


def is_managed(item: Object, grantee: str) -> bool:
    """The role's privileges are managed everywhere, those of PUBLIC only on managed objects and on parameters."""
    if grantee != PUBLIC:
        return True
    return (
        item.kind in {"database", "parameter"}
        or item.schema in MANAGED_SCHEMAS
        or (item.kind == "schema" and item.name in MANAGED_SCHEMAS)
    )


def _revoke_extra(
    catalog: Catalog, declared: PrivilegesDeclaration, grants: dict[tuple[Object, str], list[Grant]]
) -> list[Change]:
    changes = []
    for (item, grantee), held in sorted(grants.items()):
        if grantee not in {declared.role, PUBLIC} or not is_managed(item, grantee):
            continue
        allowed = wanted(item, grantee, declared, catalog.server.major)
        by_grantor: dict[tuple[str, bool], list[str]] = defaultdict(list)
        for grant in held:
            if grant.privilege not in allowed:
                by_grantor[grant.grantor, False].append(grant.privilege)
            elif grant.grantable:
                by_grantor[grant.grantor, True].append(grant.privilege)
        for (grantor, option_only), privileges in by_grantor.items():
            as_grantor = grantor if grantor != held[0].owner else ""
            changes.append(_revoke(item, grantee, privileges, as_grantor, option_only=option_only))
    return changes


def _grant_missing(
    catalog: Catalog,
    declared: PrivilegesDeclaration,
    grants: dict[tuple[Object, str], list[Grant]],
    grantees: tuple[str, ...],
    *,
    tables_follow: bool = False,
) -> list[Change]:
    major = catalog.server.major
    changes: list[Change] = []
    for grantee in grantees:
        missing = {}
        for item in _objects(catalog):
            held = {grant.privilege for grant in grants.get((item, grantee), ())}
            lacking = wanted(item, grantee, declared, major) - held
            if lacking:
                missing[item] = lacking
        whole = _kinds_without_any(catalog, declared, missing) if grantee == declared.role else set()
        if grantee == declared.role and tables_follow:
            whole = {"table", "sequence"}
        changes += [
            _grant(item, grantee, lacking, major) for item, lacking in missing.items() if item.kind not in whole
        ]
        for kind in sorted(whole, reverse=True):
            changes.append(_grant_on_all(kind, grantee, _words(_of_role(kind, declared, major), kind, major)))
    return changes


def _kinds_without_any(
    catalog: Catalog, declared: PrivilegesDeclaration, missing: dict[Object, frozenset[str]]
) -> set[str]:
    """Kinds for which the role has no privilege on any object: one GRANT ON ALL statement covers them."""
    kinds = set()
    for kind in ("table", "sequence"):
        items = [item for item in _objects(catalog) if item.kind == kind and item.schema == APPLICATION_SCHEMA]
        full = wanted(Object(kind, APPLICATION_SCHEMA, ""), declared.role, declared, catalog.server.major)
        if len(items) > 1 and all(missing.get(item) == full for item in items):
            kinds.add(kind)
    return kinds


def _words(privileges: Iterable[str], kind: str, major: int) -> Composable:
    ordered = [name for name in all_privileges(kind, major) if name in set(privileges)]
    if len(ordered) == len(all_privileges(kind, major)) and kind not in {"column"}:
        return raw("ALL PRIVILEGES")
    return raw(", ".join(ordered))


def _target(item: Object) -> Composable:
    from psycopg.sql import SQL, Identifier

    name = Identifier(item.schema, item.name) if item.schema else Identifier(item.name)
    if item.kind == "parameter":
        name = Identifier(*item.name.split("."))
    if item.kind in {"function", "procedure"}:
        return SQL("{} {}({})").format(raw(item.kind.upper()), name, raw(item.detail))
    return SQL("{} {}").format(raw({"column": "TABLE"}.get(item.kind, item.kind.upper())), name)


def _grantee(name: str) -> Composable:
    from psycopg.sql import Identifier

    return raw("PUBLIC") if name == PUBLIC else Identifier(name)


def _grant(item: Object, grantee: str, privileges: Iterable[str], major: int) -> Change:
    from psycopg.sql import SQL

    lacking = sorted(privileges)
    return Change(
        subject=f"privileges of {grantee} on {item}",
        action="grant",
        reason=f"lacks {', '.join(lacking)}",
        statement=SQL("GRANT {} ON {} TO {}").format(
            _words(lacking, item.kind, major), _target(item), _grantee(grantee)
        ),
    )


def _grant_on_all(kind: str, grantee: str, words: Composable) -> Change:
    from psycopg.sql import SQL

    kinds = f"{kind.upper()}S"
    return Change(
        subject=f"privileges of {grantee} on all {kind}s in schema {APPLICATION_SCHEMA}",
        action="grant",
        reason="has none of them yet",
        statement=SQL("GRANT {} ON ALL {} IN SCHEMA public TO {}").format(words, raw(kinds), _grantee(grantee)),
    )


def _revoke(item: Object, grantee: str, privileges: list[str], as_grantor: str, *, option_only: bool) -> Change:
    from psycopg.sql import SQL, Identifier

    words: Composable = raw(", ".join(sorted(privileges)))
    if item.kind == "column":
        words = SQL(", ").join(
            [SQL("{} ({})").format(raw(name), Identifier(item.detail)) for name in sorted(privileges)]
        )
    statement: Composable = SQL("REVOKE {}{} ON {} FROM {} CASCADE").format(
        raw("GRANT OPTION FOR " if option_only else ""), words, _target(item), _grantee(grantee)
    )
    if as_grantor:
        # A privilege belongs to its grantor: a REVOKE as the owner would leave it in place, without an error.
        statement = joined([SQL("SET LOCAL ROLE {}").format(Identifier(as_grantor)), statement, SQL("RESET ROLE")])
    held = "has the grant option for" if option_only else "has"
    return Change(
        subject=f"privileges of {grantee} on {item}",
        action="revoke",
        reason=f"{held} {', '.join(sorted(privileges))}, which is not declared",
        statement=statement,
    )


@dataclass(frozen=True, order=True)
class _Defaults:
    """creator: the role that creates the objects. schema: where, empty for any. kind: as in ALTER DEFAULT PRIVILEGES."""

    creator: str
    schema: str
    kind: str
    grantee: str


def _default_privileges(catalog: Catalog, declared: PrivilegesDeclaration) -> Iterator[Change]:
    """ALTER DEFAULT PRIVILEGES covers objects that one role creates: FOR ROLE the owner, who runs the migrations."""
    major = catalog.server.major
    held: dict[_Defaults, list[DefaultGrant]] = defaultdict(list)
    for entry in catalog.default_grants:
        held[_Defaults(entry.creator, entry.schema, entry.kind, entry.grantee)].append(entry)
    for kind, single in _DEFAULT_KINDS.items():
        target = _Defaults(declared.owner, APPLICATION_SCHEMA, kind, declared.role)
        entries, wanted_here = held.pop(target, []), _of_role(single, declared, major)
        lacking = wanted_here - {entry.privilege for entry in entries}
        extra = {entry.privilege for entry in entries} - wanted_here
        grantable = sorted(entry.privilege for entry in entries if entry.grantable and entry.privilege not in extra)
        if lacking:
            yield _default("GRANT", target, _words(lacking, single, major), f"lacks {_list(lacking)}")
        if extra:
            yield _default("REVOKE", target, raw(_list(extra)), f"has {_list(extra)}, which is not declared")
        if grantable:
            words = raw("GRANT OPTION FOR " + ", ".join(grantable))
            reason = f"has the grant option for {_list(grantable)}, which is not declared"
            yield _default("REVOKE", target, words, reason)
    for target, entries in sorted(held.items()):
        if _is_extra(target, declared):
            names = sorted({entry.privilege for entry in entries})
            reason = f"has {_list(names)}, which is not declared"
            yield _default("REVOKE", target, raw(", ".join(names)), reason)


def _is_extra(target: _Defaults, declared: PrivilegesDeclaration) -> bool:
    """PUBLIC's EXECUTE and USAGE stay: they are PostgreSQL's own defaults, listed only after someone changed them."""
    if target.grantee == declared.role:
        return True
    to_public = target.grantee == PUBLIC and target.kind not in {"FUNCTIONS", "TYPES"}
    return to_public and target.creator == declared.owner and target.schema in {"", *MANAGED_SCHEMAS}


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _default(verb: str, target: _Defaults, words: Composable, reason: str) -> Change:
    from psycopg.sql import SQL, Identifier

    where = SQL(" IN SCHEMA {}").format(Identifier(target.schema)) if target.schema else raw("")
    statement = SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}{} {} {} ON {} {} {}").format(
        Identifier(target.creator),
        where,
        raw(verb),
        words,
        raw(target.kind),
        raw("TO" if verb == "GRANT" else "FROM"),
        _grantee(target.grantee),
    )
    schema = f" in schema {target.schema}" if target.schema else ""
    return Change(
        subject=f"default privileges of {target.grantee} on {target.kind.lower()} of {target.creator}{schema}",
        action=verb.lower(),
        reason=reason,
        statement=statement,
    )
