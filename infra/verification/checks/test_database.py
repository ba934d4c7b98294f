"""The database is the declared one."""

from __future__ import annotations

from typing import Any

from infra.postgres.database import same_name
from infra.verification.checks.expectation import expect, expect_that
from infra.verification.subject import Subject

PROVIDERS = {"b": "builtin", "c": "libc", "i": "icu"}
"""pg_database.datlocprovider -> name of the locale provider."""
NEVER_CHANGED = (
    "it is fixed when a database is created: dump it and restore it into a new one, or declare the observed value"
)


def test_owner(catalog: dict[str, Any], subject: Subject) -> None:
    expect(catalog["database"]["owner"], subject.postgres.superuser)


def test_encoding(catalog: dict[str, Any], subject: Subject) -> None:
    _expect_name(catalog["database"]["encoding_name"], subject.postgres.encoding)


def test_locale(catalog: dict[str, Any], subject: Subject) -> None:
    database, provider = catalog["database"], subject.postgres.locale_provider
    expect(PROVIDERS.get(database["datlocprovider"], database["datlocprovider"]), provider, NEVER_CHANGED)
    if provider == "libc":
        for observed in (database["datcollate"], database["datctype"]):
            _expect_name(observed, subject.postgres.locale)
    else:
        # The column was renamed in PostgreSQL 17.
        _expect_name(database.get("datlocale", database.get("daticulocale")), subject.postgres.locale)


def _expect_name(observed: str, declared: str) -> None:
    """Compared as `up` compares it for its findings."""
    expect_that(same_name(observed, declared), declared, observed, NEVER_CHANGED)


def test_tablespace(catalog: dict[str, Any], subject: Subject) -> None:
    expect(catalog["database"]["tablespace"], subject.postgres.tablespace, NEVER_CHANGED, structural=True)


def test_connection_limit(catalog: dict[str, Any], subject: Subject) -> None:
    expect(catalog["database"]["datconnlimit"], subject.postgres.connection_limit)


def test_accepts_connections(catalog: dict[str, Any]) -> None:
    expect((catalog["database"]["datallowconn"], catalog["database"]["datistemplate"]), (True, False))
