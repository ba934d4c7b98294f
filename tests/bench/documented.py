"""The document's objects as one SQL script for psql: what somebody who follows the document would run."""

from __future__ import annotations

from pathlib import Path

from infra.settings.model import PostgresSettings
from tests.support.clones import PROJECT_ROOT

APPLICATION_PASSWORD = "of-the-benchmark-only"
OBJECTS = """
CREATE USER {role} WITH PASSWORD '{password}';
GRANT CONNECT ON DATABASE {database} TO {role};
GRANT USAGE ON SCHEMA public TO {role};
GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA public TO {role};
GRANT ALL PRIVILEGES ON ALL SEQUENCES IN SCHEMA public TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO {role};
"""


def create_database(own: PostgresSettings) -> str:
    """CREATE DATABASE with the declared locale; its own statement, since no transaction can hold it."""
    locale = {
        "builtin": f"LOCALE_PROVIDER builtin BUILTIN_LOCALE '{own.locale}' LOCALE 'C'",
        "libc": f"LOCALE_PROVIDER libc LOCALE '{own.locale}'",
        "icu": f"LOCALE_PROVIDER icu ICU_LOCALE '{own.locale}' LOCALE 'C'",
    }[own.locale_provider]
    return f"CREATE DATABASE {own.database} TEMPLATE template0 OWNER {own.superuser} ENCODING '{own.encoding}' {locale}"


def statements(own: PostgresSettings) -> str:
    """Every migration, then role, privileges and default privileges."""
    migrations = sorted((PROJECT_ROOT / "sql" / "migrations").glob("*.sql"))
    objects = OBJECTS.format(role=own.application_role, password=APPLICATION_PASSWORD, database=own.database)
    return "\n".join([*(path.read_text(encoding="utf-8") for path in migrations), objects])


def script(own: PostgresSettings, path: Path) -> Path:
    """The statements in a file for `psql -f`."""
    path.write_text(statements(own), encoding="utf-8")
    return path
