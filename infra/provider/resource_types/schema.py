"""Schema: all objects that the migrations create, and their drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.changes import Change, Finding
from infra.provider.handler import CONNECTION_SECRETS, Observed, Property, Values
from infra.provider.resource_types.database_section import DatabaseSection
from infra.provider.sessions import DatabaseFacts


class Schema(DatabaseSection):
    """Applies the migrations and repairs drift of their schema. Deleting the resource keeps every object."""

    section = "schema"
    token = "circlepay:index:Schema"
    inputs = {
        "connection": Property("object", "The superuser's login to the database.", secret_members=CONNECTION_SECRETS),
        "owner": Property("string", "Role that owns the objects and runs the migrations."),
        "role": Property("string", "The application's role, which migrations may name.", required=False),
        "folder": Property("string", "Folder with `migrations` and `optional`."),
        "migrations": Property("array", "Declared migrations: version, name, sha256."),
        "adopt": Property("boolean", "Whether a schema built by hand may be taken over as the baseline."),
        "dropRedundantIndexes": Property("boolean", "Whether redundant indexes are dropped."),
        "lockTimeout": Property("number", "Seconds a change waits for a lock."),
        "statementTimeout": Property("number", "Seconds one statement may run."),
        "cacheFolder": Property("string", "Folder for files that can be recreated."),
        "upstream": Property("array", "Revisions of the resources this depends on."),
    }

    def subject(self, inputs: Values) -> str:
        return "tables, indexes and triggers of the migrations"

    def identity(self, inputs: Values) -> str:
        return "schema"

    def not_yet(self, inputs: Values, state: Values | None, reason: str) -> list[Change]:
        from infra.postgres import migrations

        if state is None:
            migrations.refuse(migrations.load(Path(inputs["folder"]) / "migrations"))
        return super().not_yet(inputs, state, reason)

    def unread(self, facts: DatabaseFacts) -> Observed:
        if not facts.locked:
            return super().unread(facts)
        remedy = "let it finish, or end that session; until then nothing is known of the database's drift"
        return Observed(findings=[Finding("the database", facts.locked, remedy)])

    def declaration(self, inputs: Values) -> dict[str, Any]:
        from infra.postgres import migrations, roles
        from infra.postgres.database import DatabaseDeclaration
        from infra.postgres.indexes import read_optional_drops

        folder, connection = Path(inputs["folder"]), inputs["connection"]
        return {
            "database": DatabaseDeclaration(
                name=connection["database"], owner=connection["user"], adopt=inputs["adopt"]
            ),
            "owner": roles.owner(inputs["owner"], adopt=inputs["adopt"]),
            "role": roles.RoleDeclaration(inputs.get("role") or ""),
            "migrations": tuple(migrations.load(folder / "migrations")),
            "drops": read_optional_drops(folder / "optional" / "drop_redundant_indexes.sql"),
            "drop_redundant": inputs["dropRedundantIndexes"],
            "lock_timeout": inputs["lockTimeout"],
            "statement_timeout": inputs["statementTimeout"],
            "cache": Path(inputs["cacheFolder"]),
        }
