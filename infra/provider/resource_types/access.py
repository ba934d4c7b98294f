"""Access: the role, grants and default privileges of one database as one plan, so that no two resources conflict."""

from __future__ import annotations

from typing import Any

from infra.provider.handler import CONNECTION_SECRETS, Property, Values
from infra.provider.resource_types.database_section import DatabaseSection


class Access(DatabaseSection):
    """The application's role and its privileges. Deleting the resource keeps the role: it may own objects."""

    section = "access"
    token = "circlepay:index:Access"
    inputs = {
        "connection": Property("object", "The superuser's login to the database.", secret_members=CONNECTION_SECRETS),
        "owner": Property("string", "Role whose future tables and sequences are covered by default privileges."),
        "role": Property("string", "The application's role.", replaces=True),
        "password": Property("string", "Its password; only a SCRAM verifier is ever sent.", secret=True),
        "restrictPublic": Property("boolean", "Whether PUBLIC loses PostgreSQL's default privileges."),
        "restrictApplication": Property(
            "boolean", "Whether the role lacks TRUNCATE, TRIGGER and MAINTAIN on tables.", required=False
        ),
        "adopt": Property("boolean", "Whether a role without our mark may be taken over."),
        "upstream": Property("array", "Revisions of the resources this depends on."),
    }

    def subject(self, inputs: Values) -> str:
        return f"role {inputs['role']} and its privileges"

    def identity(self, inputs: Values) -> str:
        return str(inputs["role"])

    def declaration(self, inputs: Values) -> dict[str, Any]:
        from infra.postgres.privileges import PrivilegesDeclaration
        from infra.postgres.roles import RoleDeclaration

        return {
            "role": RoleDeclaration(inputs["role"], inputs["password"], adopt=inputs["adopt"], sole=True),
            # An earlier release's state has no word about this, and granted all.
            "privileges": PrivilegesDeclaration(
                inputs["role"],
                inputs["owner"],
                strict=inputs["restrictPublic"],
                restricted=bool(inputs.get("restrictApplication")),
            ),
        }
