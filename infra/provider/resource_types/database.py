"""Database: the database itself, with our mark on it."""

from __future__ import annotations

from typing import Any

from infra.provider.handler import CONNECTION_SECRETS, Property, Values
from infra.provider.resource_types.database_section import DatabaseSection


class Database(DatabaseSection):
    """A database with owner, encoding, locale, tablespace and connection limit. Deleting the resource keeps it."""

    section = "database"
    token = "circlepay:index:Database"
    inputs = {
        "connection": Property("object", "The superuser's login to this database.", secret_members=CONNECTION_SECRETS),
        "name": Property("string", "Name of the database.", replaces=True),
        "owner": Property("string", "Role that owns it."),
        "encoding": Property("string", "Encoding."),
        "localeProvider": Property("string", "builtin, libc or icu."),
        "locale": Property("string", "Locale."),
        "tablespace": Property("string", "Tablespace."),
        "connectionLimit": Property("integer", "Maximum number of connections; -1 is no limit."),
        "adopt": Property("boolean", "Whether a database without our mark may be taken over."),
        "upstream": Property("array", "Revisions of the resources this depends on."),
    }

    def subject(self, inputs: Values) -> str:
        return f"database {inputs['name']}"

    def identity(self, inputs: Values) -> str:
        return str(inputs["name"])

    def declaration(self, inputs: Values) -> dict[str, Any]:
        from infra.postgres.database import DatabaseDeclaration

        return {
            "database": DatabaseDeclaration(
                name=inputs["name"],
                owner=inputs["owner"],
                encoding=inputs["encoding"],
                locale_provider=inputs["localeProvider"],
                locale=inputs["locale"],
                tablespace=inputs["tablespace"],
                connection_limit=inputs["connectionLimit"],
                adopt=inputs["adopt"],
                sole=True,
            )
        }
