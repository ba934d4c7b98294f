"""What the checks expect where migrations go beyond the document, or change what it says."""

from __future__ import annotations

import pytest

from infra.postgres.facts import Catalog
from infra.postgres.facts import Column as DeclaredColumn
from infra.verification.checks import own_migrations as own
from infra.verification.checks.expected import Column


def _column(name: str, table: str = "users", kind: str = "text", schema: str = "public") -> DeclaredColumn:
    return DeclaredColumn(schema, table, name, kind, True, None, "", "", "")


DECLARED = Catalog(
    columns=(_column("email"), _column("nick"), _column("body", "notes"), _column("name", schema="circlepay"))
)


def test_a_column_that_a_migration_changed_is_expected_as_it_makes_it() -> None:
    documented = Column("email", "character varying(255)", False)
    assert own.column(DECLARED, "users.email", documented) == Column("email", "text", False)
    assert own.column(None, "users.email", documented) == documented


def test_a_column_that_a_migration_dropped_is_not_expected() -> None:
    with pytest.raises(pytest.skip.Exception, match="a migration drops it"):
        own.column(DECLARED, "users.phone", Column("phone", "text"))


def test_what_the_document_does_not_have_is_known_and_compared() -> None:
    assert own.names(DECLARED, "columns") == {"users.email", "users.nick", "notes.body"}
    assert [item.name for item in own.beyond_the_document(DECLARED).columns] == ["nick", "body"]
    assert own.names(None, "columns") == set()
