"""The declared schema: what the migrations produce when they are replayed on a server of the same major version.

It cannot go stale, since it is derived from the migrations themselves: once, in a scratch database, and cached in a file
named by their checksum. Where the migrations have just been applied to an empty database, that database is read instead.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import files
from infra.endpoint import Login
from infra.errors import MigrationError
from infra.postgres import catalog, execution, migrations
from infra.postgres.catalog import SCHEMA_SECTIONS
from infra.postgres.connection import MAINTENANCE_DATABASE, connect, exclusive, reconnected
from infra.postgres.facts import Catalog
from infra.postgres.migration_sql import within_database

if TYPE_CHECKING:
    from psycopg import Connection

_SCRATCH_PREFIX = "circlepay_scratch_"
_SCRATCH_NAME = f"^{_SCRATCH_PREFIX}[0-9a-f]{{12}}$"


def cache_file(folder: Path, declared: Sequence[migrations.Migration], major: int) -> Path:
    """Where the declared schema of these migrations is cached; a changed catalog.sql gets another file."""
    query = resources.files(__package__).joinpath("catalog.sql").read_bytes()
    digest = hashlib.sha256(migrations.digest(declared).encode() + query).hexdigest()[:16]
    return folder / f"schema-{digest}-{major}.json"


def recall(folder: Path, declared: Sequence[migrations.Migration], major: int) -> Catalog | None:
    """The cached declared schema, or None. A file that cannot be read counts as missing."""
    try:
        document = json.loads(files.read(cache_file(folder, declared, major)))
        return catalog.parse(document)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(folder: Path, declared: Sequence[migrations.Migration], major: int, document: dict[str, Any]) -> Catalog:
    """Caches the schema sections of a catalog that was read where exactly these migrations had run, and returns them."""
    kept = {name: document[name] for name in SCHEMA_SECTIONS}
    folder.mkdir(parents=True, exist_ok=True)
    files.replace(cache_file(folder, declared, major), json.dumps(kept).encode())
    return catalog.parse(kept)


def replay(login: Login, declared: Sequence[migrations.Migration], *, cancelled: threading.Event) -> dict[str, Any]:
    """The catalog of a scratch database in which these migrations ran, as JSON; the database is dropped afterwards.

    Scratch databases left by killed replays are dropped too. Raises MigrationError and ServerError.
    """
    with connect(reconnected(login, MAINTENANCE_DATABASE)) as maintenance, exclusive(maintenance, cancelled):
        _drop_scratch_databases(maintenance)
        name = _SCRATCH_PREFIX + secrets.token_hex(6)
        _create(maintenance, name)
        try:
            with connect(reconnected(login, name)) as connection:
                declared = [_for_replay(migration) for migration in declared]
                execution.run(connection, migrations.plan(catalog.parse({}), declared), cancelled=cancelled)
                return catalog.read_document(connection)
        except MigrationError as error:
            cause = f"{error.cause} (in a scratch database; the stack's own is as it was)"
            raise MigrationError("replay the migrations", error.path, cause, error.hint) from None
        finally:
            _drop_scratch_databases(maintenance)


def _for_replay(migration: migrations.Migration) -> migrations.Migration:
    """What was applied is part of the schema, whatever there is to object to; the rest of the server stays as it is."""
    return replace(migration, text=within_database(migration.text), objection=None)


def _create(maintenance: Connection, name: str) -> None:
    from psycopg.sql import SQL, Identifier

    # The locale does not show in definitions, so the simplest one will do; template0 has no local additions.
    maintenance.execute(
        SQL(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
        ).format(Identifier(name))
    )


def _drop_scratch_databases(maintenance: Connection) -> None:
    """Only called under the lock, so no other replay is using one."""
    from psycopg.sql import SQL, Identifier

    rows = maintenance.execute("SELECT datname FROM pg_database WHERE datname ~ %s", (_SCRATCH_NAME,)).fetchall()
    for (name,) in rows:
        maintenance.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
