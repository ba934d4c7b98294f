"""Privileges that are reported and not changed: those of other roles, and of kinds that are not managed here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from infra.changes import Finding, Severity
from infra.postgres.facts import Catalog, Grant
from infra.postgres.privileges import (
    BEYOND_ROWS,
    MANAGED_SCHEMAS,
    PUBLIC,
    Object,
    PrivilegesDeclaration,
    is_managed,
    wanted,
)


def findings(catalog: Catalog, declared: PrivilegesDeclaration) -> list[Finding]:
    """Grants to other roles on managed objects, unmanaged kinds of privileges of the role, and PUBLIC's defaults."""
    found = [
        *_grants_to_others(catalog, declared),
        *_unmanaged(catalog, declared),
        *_beyond_rows(catalog, declared),
        *_without_search_path(catalog),
    ]
    public = sorted(grant.privilege for grant in catalog.grants if grant.kind == "database" and grant.grantee == PUBLIC)
    if public and not declared.strict:
        found.append(
            Finding(
                f"database {catalog.server.database}",
                f"PUBLIC, which is every role of the server, has {', '.join(public)} "
                "(PostgreSQL's default, kept as documented)",
                "set postgres.restrictPublic: true",
                severity=Severity.NOTE,
            )
        )
    return found


def _beyond_rows(catalog: Catalog, declared: PrivilegesDeclaration) -> Iterator[Finding]:
    held = {grant.privilege for grant in catalog.grants if grant.grantee == declared.role and grant.kind == "table"}
    if not declared.restricted and held & BEYOND_ROWS:
        yield Finding(
            f"role {declared.role}",
            f"has {', '.join(sorted(held & BEYOND_ROWS))} on tables (part of the documented ALL)",
            "set postgres.restrictApplication: true, and postgres.restrictPublic: true with it",
            f"a trigger of its own acts as {declared.owner} in a cascade, and may alter or drop every table; TRUNCATE "
            "passes over the triggers of rows",
        )


def _without_search_path(catalog: Catalog) -> Iterator[Finding]:
    """The caller chooses where the names in such a function lead, and it acts as its owner."""
    for function in catalog.functions:
        head = function.definition.partition("\nAS ")[0]
        if function.schema in MANAGED_SCHEMAS and "SECURITY DEFINER" in head and "SET search_path" not in head:
            name = f"{function.schema}.{function.name}({function.arguments})"
            yield Finding(
                f"function {name}",
                f"is SECURITY DEFINER, so it acts as {function.owner}, on whatever the caller's search_path finds",
                f"add a migration: ALTER FUNCTION {name} SET search_path = pg_catalog, public, pg_temp",
            )


def _grants_to_others(catalog: Catalog, declared: PrivilegesDeclaration) -> list[Finding]:
    others: dict[str, list[str]] = defaultdict(list)
    for grant in catalog.grants:
        item = Object(grant.kind, grant.schema, grant.name, grant.detail)
        if grant.grantee in {declared.role, PUBLIC} or grant.privilege in _of_owner(grant, item, declared, catalog):
            continue
        if is_managed(item, PUBLIC) or grant.grantee == declared.owner:
            others[grant.grantee].append(f"{grant.privilege} on {item}")
    return [
        Finding(
            f"role {name}",
            f"was granted {'; '.join(sorted(privileges)[:5])}"
            + (f" and {len(privileges) - 5} more" if len(privileges) > 5 else ""),
            f"REVOKE it, or leave it: grants to roles other than {declared.role} and PUBLIC are not changed",
        )
        for name, privileges in sorted(others.items())
    ]


def _of_owner(grant: Grant, item: Object, declared: PrivilegesDeclaration, catalog: Catalog) -> frozenset[str]:
    """The declared privileges of the owner on `item`, where the grant is to the owner."""
    if grant.grantee != declared.owner:
        return frozenset()
    return wanted(item, declared.owner, declared, catalog.server.major)


def _unmanaged(catalog: Catalog, declared: PrivilegesDeclaration) -> list[Finding]:
    found = [
        Finding(
            f"role {declared.role}",
            f"has privileges on {grant.object}",
            f"REVOKE ALL ON {grant.object} FROM {declared.role}",
        )
        for grant in catalog.other_grants
        if grant.role == declared.role
    ]
    for creator, grantee in sorted({(entry.creator, entry.grantee) for entry in catalog.default_grants}):
        if grantee not in {declared.role, PUBLIC}:
            found.append(
                Finding(
                    f"default privileges of {creator}",
                    f"objects that {creator} creates are granted to {grantee}",
                    f"ALTER DEFAULT PRIVILEGES FOR ROLE {creator} REVOKE ... FROM {grantee}, if that is not wanted",
                )
            )
    return found
