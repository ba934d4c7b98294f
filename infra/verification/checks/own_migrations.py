"""What the declared catalog says where migrations go beyond the document, or change what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.postgres.facts import Catalog
from infra.postgres.migrations import RECORD_SCHEMA
from infra.verification.checks.expected import CONSTRAINTS, FUNCTION, INDEXES, SEQUENCES, TABLES, TRIGGERS, Column

__all__ = ["Catalog", "beyond_the_document", "column", "definition", "names", "of_public"]


def of_public(declared: Catalog | None, kind: str) -> tuple[Any, ...]:
    """The declared objects of that kind in schema public; none where nothing is known."""
    return tuple(item for item in getattr(declared, kind, ()) if item.schema == "public")


def names(declared: Catalog | None, kind: str) -> set[str]:
    """Their names as the checks write them: `table.name`, of an index its name alone."""
    return {_name(kind, item) for item in of_public(declared, kind)}


def _name(kind: str, item: Any) -> str:
    return str(item.name) if kind == "indexes" else f"{item.table}.{item.name}"


def _declared(declared: Catalog | None, kind: str, name: str) -> Any:
    """The declared object, None where nothing is known. A check of what a migration has dropped is skipped."""
    if declared is None:
        return None
    found = next((item for item in of_public(declared, kind) if _name(kind, item) == name), None)
    return found or pytest.skip(f"{name}: a migration drops it")


def definition(declared: Catalog | None, kind: str, name: str, documented: str) -> str:
    """The declared definition, the documented one where nothing is known."""
    found = _declared(declared, kind, name)
    return str(found.definition) if found else documented


def column(declared: Catalog | None, name: str, documented: Column) -> Column:
    """The declared column, the documented one where nothing is known."""
    found = _declared(declared, "columns", name)
    return Column(found.name, found.type, not found.not_null, found.default or "") if found else documented


def beyond_the_document(declared: Catalog) -> Catalog:
    """Only what the document does not have: each of its own objects has a check of its own."""
    documented = {
        "tables": {*TABLES},
        "columns": {f"{table}.{each.name}" for table, columns in TABLES.items() for each in columns},
        "constraints": {f"{table}.{name}" for table, named in CONSTRAINTS.items() for name in named},
        "indexes": {*INDEXES},
        "triggers": {f"{table}.{name}" for name, (table, _) in TRIGGERS.items()},
        "sequences": {*SEQUENCES},
        "functions": {FUNCTION},
    }

    def is_own(kind: str, item: Any) -> bool:
        name = f"{item.table}.{item.name}" if kind in {"columns", "constraints", "triggers"} else item.name
        return item.schema != RECORD_SCHEMA and (item.schema != "public" or name not in documented[kind])

    kept: dict[str, Any] = {
        kind: tuple(item for item in getattr(declared, kind) if is_own(kind, item)) for kind in documented
    }
    return replace(declared, **kept)
