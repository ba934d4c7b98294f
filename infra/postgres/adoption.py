"""Adopts a database that was built by hand from the document, if its schema really is the documented one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from infra.changes import Change, Finding
from infra.errors import CatalogError
from infra.postgres import migrations, structure
from infra.postgres.facts import AppliedMigration, Catalog
from infra.postgres.migrations import Migration

_CREATE_TABLE = re.compile(
    r"^\s*CREATE TABLE (?:IF NOT EXISTS )?(?:public\.)?([a-z_][a-z0-9_]*)", re.IGNORECASE | re.MULTILINE
)


def is_needed(catalog: Catalog, declared: Sequence[Migration]) -> bool:
    """Whether tables of the first migration exist without a record that it was applied. Pure."""
    created = set(_CREATE_TABLE.findall(declared[0].text)) if declared else set()
    return not catalog.migrations and any(
        table.schema == "public" and table.name in created for table in catalog.tables
    )


def preview(catalog: Catalog, declared: Sequence[Migration], owner: str, *, adopt: bool) -> list[Change]:
    """The schema's changes as far as they are known without replaying migrations. Raises as `plan` does."""
    if not is_needed(catalog, declared):
        return migrations.plan(catalog, declared, owner)
    _refuse_unless(adopt, catalog)
    baseline = declared[0]
    recorded = AppliedMigration(baseline.version, baseline.name, baseline.sha256)
    adopted = replace(catalog, recorded=True, migrations=(recorded,))
    return migrations.adopt([baseline]) + migrations.plan(adopted, declared, owner)


def plan(
    catalog: Catalog, declared: Sequence[Migration], adopt: bool, replay: Callable[[list[Migration]], Catalog]
) -> list[Change]:
    """Records as applied the migrations whose schema such a database already has; empty for every other database.

    The newest version whose schema matches is recorded: users may have widened the currency column by hand. replay:
    migrations -> the schema they create. Raises CatalogError without `adopt`, or with the list of differences.
    """
    if not is_needed(catalog, declared):
        return []
    _refuse_unless(adopt, catalog)
    differences: list[Finding] = []
    for count in range(len(declared), 0, -1):
        # Only differences that repairs cannot remove block the adoption; a missing index or trigger does not.
        differences = _blocking(catalog, replay(list(declared[:count])))
        if not differences:
            return migrations.adopt(declared[:count])
    raise CatalogError(
        "adopt the database",
        f"database {catalog.server.database}",
        f"it differs from {declared[0].label}: " + "; ".join(f"{item.subject} {item.problem}" for item in differences),
        "change it until it matches the documented schema, or choose another postgres.database",
    )


def _blocking(catalog: Catalog, wanted: Catalog) -> list[Finding]:
    return [
        item for item in structure.differences(catalog, wanted) if migrations.RECORD_SCHEMA + "." not in item.subject
    ]


def _refuse_unless(adopt: bool, catalog: Catalog) -> None:
    if not adopt:
        raise CatalogError(
            "apply the migrations",
            f"database {catalog.server.database}",
            "it has the documented tables, but no record of migrations",
            "set postgres.adopt: true to compare it with the documented schema and record the matching migrations",
        )
