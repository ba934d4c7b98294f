"""What a table does with statements beside its columns: row level security with its policies, rewrite rules, options.

Row level security and options are put back, since no row or definition is lost by it. A policy that a migration creates is
created again; one made by hand, and every difference in rules, is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from infra.changes import Change, Finding
from infra.postgres.execution import joined, raw
from infra.postgres.facts import Catalog, Table, TableRule

if TYPE_CHECKING:
    from psycopg.sql import Composable


def plan(catalog: Catalog, declared: Catalog) -> list[Change]:
    """Changes of existing, declared tables; policies before the row security that uses them. Pure."""
    wanted = {(table.schema, table.name): table for table in declared.tables}
    pairs = [(table, wanted[key]) for table in catalog.tables if (key := (table.schema, table.name)) in wanted]
    return [
        *_policies(catalog, declared),
        *(change for found, table in pairs for change in _row_security(found, table)),
        *(change for found, table in pairs for change in _options(found, table)),
    ]


def _alter(found: Table, reason: str, words: Composable, lock: str) -> Change:
    from psycopg.sql import SQL, Identifier

    return Change(
        subject=f"table {found.schema}.{found.name}",
        action="alter",
        reason=reason,
        lock=f"{lock} on {found.schema}.{found.name}",
        statement=SQL("ALTER TABLE {} {}").format(Identifier(found.schema, found.name), words),
    )


def _row_security(found: Table, wanted: Table) -> Iterator[Change]:
    for observed, declared, words, what in (
        (found.row_security, wanted.row_security, ("ENABLE", "DISABLE"), "row level security"),
        (found.forced, wanted.forced, ("FORCE", "NO FORCE"), "row level security for its owner"),
    ):
        if observed != declared:
            reason = f"{what} is {'on' if observed else 'off'}, declared {'on' if declared else 'off'}"
            words_of = raw(f"{words[0] if declared else words[1]} ROW LEVEL SECURITY")
            yield _alter(found, reason, words_of, "ACCESS EXCLUSIVE")


def _options(found: Table, wanted: Table) -> Iterator[Change]:
    """Of every kind of relation: ALTER TABLE changes the options of views too."""
    from psycopg.sql import SQL, Identifier, Literal

    observed, declared = (dict(item.partition("=")[::2] for item in table.options) for table in (found, wanted))
    for name in sorted(observed.keys() | declared.keys()):
        if observed.get(name) == declared.get(name) or found.kind not in {"r", "v", "m"}:
            continue
        target = SQL(".").join([Identifier(part) for part in name.split(".")])
        words = (
            SQL("SET ({} = {})").format(target, Literal(declared[name]))
            if name in declared
            else SQL("RESET ({})").format(target)
        )
        reason = f"{name} is {observed.get(name, 'not set')}, declared {declared.get(name, 'not set')}"
        yield _alter(found, reason, words, "ACCESS EXCLUSIVE" if found.kind == "v" else "SHARE UPDATE EXCLUSIVE")


def _policies(catalog: Catalog, declared: Catalog) -> Iterator[Change]:
    from psycopg.sql import SQL, Identifier

    tables = {(table.schema, table.name) for table in catalog.tables}
    observed = _by_key(catalog.policies)
    for wanted in declared.policies:
        found = observed.get(_key(wanted))
        if (wanted.schema, wanted.table) not in tables or (found and found.definition == wanted.definition):
            continue
        target = SQL("{} ON {}").format(Identifier(wanted.name), Identifier(wanted.schema, wanted.table))
        create = SQL("CREATE POLICY {} {}").format(target, SQL("{}").format(raw(wanted.definition)))
        yield Change(
            subject=f"policy {wanted.schema}.{wanted.table}.{wanted.name}",
            action="alter" if found else "create",
            reason=f"is «{found.definition}», declared «{wanted.definition}»" if found else "is missing",
            lock=f"ACCESS EXCLUSIVE on {wanted.schema}.{wanted.table}",
            statement=joined([SQL("DROP POLICY {}").format(target), create]) if found else create,
        )


def findings(catalog: Catalog, declared: Catalog) -> list[Finding]:
    """Policies and rules that no migration creates, and missing or changed rules. Pure."""
    tables = {(table.schema, table.name) for table in declared.tables}
    found = [*_extra("policy", catalog.policies, declared.policies, tables)]
    found += _extra("rule", catalog.rules, declared.rules, tables)
    observed = _by_key(catalog.rules)
    for wanted in declared.rules:
        rule = observed.get(_key(wanted))
        if rule is None or rule.definition != wanted.definition:
            problem = "is missing" if rule is None else "is not the declared one"
            remedy = f"add a migration with «{wanted.definition[:-1]}»"
            found.append(Finding(f"rule {wanted.schema}.{wanted.table}.{wanted.name}", problem, remedy))
    return found


def _extra(
    kind: str, observed: Iterable[TableRule], declared: Iterable[TableRule], tables: set[tuple[str, str]]
) -> Iterator[Finding]:
    known = _by_key(declared)
    for item in observed:
        if _key(item) not in known and (item.schema, item.table) in tables:
            yield Finding(
                f"{kind} {item.schema}.{item.table}.{item.name}",
                f"no migration creates it: {item.definition}",
                f"add a migration that creates it, or DROP {kind.upper()} {item.name} ON {item.schema}.{item.table}",
            )


def _key(item: TableRule) -> tuple[str, str, str]:
    return item.schema, item.table, item.name


def _by_key(items: Iterable[TableRule]) -> dict[tuple[str, str, str], TableRule]:
    return {_key(item): item for item in items}
