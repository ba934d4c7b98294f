"""The resources of the PostgreSQL database, each dependent on the one before it."""

from __future__ import annotations

from infra.declarations import resources
from infra.declarations.credentials import Credentials
from infra.declarations.servers import Servers
from infra.declarations.stack import Stack


def declare(stack: Stack, servers: Servers, credentials: Credentials) -> tuple[resources.Resource, ...]:
    """Database, schema, access, and the parameters in force. Raises MigrationError."""
    database = _database(stack, servers)
    schema = _schema(stack, servers, database)
    access = _access(stack, servers, credentials, schema)
    parameters = resources.PostgresParameters(
        "postgres-parameters",
        {
            "connection": servers.superuser,
            "parameters": servers.postgres_parameters,
            "upstream": [servers.postgres.revision, database.revision],
        },
    )
    return database, schema, access, parameters


def _database(stack: Stack, servers: Servers) -> resources.Database:
    own = stack.settings.postgres
    return resources.Database(
        "database",
        {
            "connection": servers.superuser,
            "name": own.database,
            "owner": own.superuser,
            "encoding": own.encoding,
            "localeProvider": own.locale_provider,
            "locale": own.locale,
            "tablespace": own.tablespace,
            "connectionLimit": own.connection_limit,
            "adopt": own.adopt,
            "upstream": [servers.postgres.revision],
        },
    )


def _schema(stack: Stack, servers: Servers, database: resources.Database) -> resources.Schema:
    own = stack.settings.postgres
    return resources.Schema(
        "schema",
        {
            "connection": servers.superuser,
            "owner": own.owner_role,
            "role": own.application_role,
            "folder": str(stack.sql),
            "migrations": stack.migrations,
            "adopt": own.adopt,
            "dropRedundantIndexes": own.drop_redundant_indexes,
            "lockTimeout": own.lock_timeout,
            "statementTimeout": own.statement_timeout,
            "cacheFolder": str(stack.cache),
            "upstream": [database.revision],
        },
    )


def _access(stack: Stack, servers: Servers, credentials: Credentials, schema: resources.Schema) -> resources.Access:
    own = stack.settings.postgres
    return resources.Access(
        "access",
        {
            "connection": servers.superuser,
            "owner": own.owner_role,
            "role": own.application_role,
            "password": credentials["application_password"],
            "restrictPublic": own.restrict_public,
            "restrictApplication": own.restrict_application,
            "adopt": own.adopt,
            "upstream": [schema.revision],
        },
    )
