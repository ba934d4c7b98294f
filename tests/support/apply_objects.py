"""A child that applies every database object, so that a test can run two of them at once, or kill one.

Reads its orders as JSON from standard input, prints `ready`, then the changes it made as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from infra.endpoint import Endpoint, Login
from infra.postgres import objects, roles
from infra.postgres.database import DatabaseDeclaration
from infra.postgres.indexes import read_optional_drops
from infra.postgres.migrations import load
from infra.postgres.objects import DatabaseObjects
from infra.postgres.privileges import PrivilegesDeclaration
from infra.postgres.roles import RoleDeclaration


def main() -> None:
    """Apply once, and say what was done."""
    orders = json.load(sys.stdin)
    sql = Path(orders["sql"])
    declared = DatabaseObjects(
        database=DatabaseDeclaration(orders["database"], locale_provider="libc", locale="C.UTF-8"),
        owner=roles.owner(orders["owner"]),
        role=RoleDeclaration(orders["role"], orders["role_password"]),
        privileges=PrivilegesDeclaration(orders["role"], orders["owner"]),
        migrations=tuple(load(sql / "migrations")),
        cache=Path(orders["cache"]),
        drops=read_optional_drops(sql / "optional" / "drop_redundant_indexes.sql"),
        drop_redundant=orders["drop_redundant"],
    )
    login = Login(Endpoint("127.0.0.1", orders["port"]), "postgres", orders["password"])
    import psycopg  # noqa: F401 - loaded before `ready`, so that a test's clock measures the changes

    print("ready", flush=True)
    outcome = objects.apply_all(login, declared)
    print(json.dumps([f"{change.action} {change.subject}" for change in outcome.changes]), flush=True)


if __name__ == "__main__":
    main()
