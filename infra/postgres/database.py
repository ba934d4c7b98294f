"""The database itself: owner, encoding, locale, tablespace, connection limit, and the comment that marks it as managed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.changes import Change, Finding
from infra.errors import CatalogError
from infra.postgres.catalog import MARK_BEGINS
from infra.postgres.execution import joined
from infra.postgres.facts import Catalog, Database
from infra.postgres.locales import BUILTIN_LOCALES

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

MARK = f"{MARK_BEGINS} by CirclePay infrastructure; what is changed by hand is put back"
"""Comment on managed databases and roles. Only the part before the semicolon is compared."""


@dataclass(frozen=True)
class DatabaseDeclaration:
    """locale_provider: builtin, libc or icu. connection_limit: -1 is none. adopt: take over a database without our mark.

    sole: the server has no other stack's, so that another marked database is this one under an earlier name.
    """

    name: str = "circlepay_db"
    owner: str = "postgres"
    encoding: str = "UTF8"
    locale_provider: str = "libc"
    locale: str = "en_US.UTF-8"
    tablespace: str = "pg_default"
    connection_limit: int = -1
    adopt: bool = False
    sole: bool = False


def is_ours(comment: str | None) -> bool:
    """Whether a comment carries our mark."""
    return (comment or "").startswith(MARK_BEGINS)


def check_locale(connection: Connection, declared: DatabaseDeclaration) -> None:
    """Raises CatalogError, naming the setting, when this server cannot create a database with the declared locale.

    Called before anything is created; reads only.
    """
    import psycopg

    major = connection.info.server_version // 10000
    problem = ""
    if declared.locale_provider == "builtin":
        first = BUILTIN_LOCALES.get(declared.locale)
        if major < 17:
            problem = f"PostgreSQL {major} has no builtin locale provider (17 and later have)"
        elif first is None or major < first:
            problem = f"the builtin provider of PostgreSQL {major} has no locale {declared.locale}"
    elif declared.locale_provider == "icu":
        row = connection.execute("SELECT EXISTS (SELECT FROM pg_collation WHERE collname LIKE '%-x-icu')").fetchone()
        problem = "" if row and row[0] else "the server was built without ICU"
    else:
        try:
            # Setting lc_monetary makes the server look the locale up in its operating system, and has no other effect
            # here.
            connection.execute("SELECT set_config('lc_monetary', %s, true)", (declared.locale,))
        except psycopg.errors.InvalidParameterValue:
            problem = f"the server's operating system has no locale {declared.locale}"
    if problem:
        raise _locale_error(declared, connection, problem)


def _locale_error(declared: DatabaseDeclaration, connection: Connection, problem: str) -> CatalogError:
    setting = "postgres.localeProvider" if "provider" in problem or "ICU" in problem else "postgres.locale"
    builtin = connection.info.server_version >= 170000
    alternative = (
        "localeProvider: builtin with locale: C.UTF-8" if builtin else "localeProvider: libc with locale: C.UTF-8"
    )
    return CatalogError(
        "create the database",
        setting,
        problem,
        f"install the locale where the server runs ({declared.locale}), or declare another one, e.g. {alternative}",
    )


def refuse_foreign(catalog: Catalog, declared: DatabaseDeclaration) -> None:
    """Raises CatalogError when the database exists without our mark and is not to be adopted."""
    found = catalog.database(declared.name)
    if found is None or is_ours(found.comment) or declared.adopt:
        return
    raise CatalogError(
        "take over the database",
        f"database {declared.name}",
        "it exists on this server and was not made by this project",
        "set postgres.adopt: true to compare it with the documented schema and take it over, or choose another "
        "postgres.database",
    )


def _refuse_second(catalog: Catalog, declared: DatabaseDeclaration) -> None:
    """Raises CatalogError rather than leave the data behind in a database that was declared under another name."""
    earlier = [item.name for item in catalog.databases if declared.sole and is_ours(item.comment)]
    if earlier:
        raise CatalogError(
            "create the database",
            "postgres.database",
            f"{declared.name} does not exist, and {earlier[0]} is this stack's database: a second one would be empty",
            f"set postgres.database to {earlier[0]} again; or rename it while the application is stopped, then run `up`: "
            f"ALTER DATABASE {earlier[0]} RENAME TO {declared.name}, as the superuser in the database postgres",
        )


def plan(catalog: Catalog, declared: DatabaseDeclaration) -> list[Change]:
    """Changes that bring the database to its declaration; empty when none is needed. Pure. Raises as refuse_foreign does.

    Changes of a missing database run in another one (connection.MAINTENANCE_DATABASE).
    """
    refuse_foreign(catalog, declared)
    found = catalog.database(declared.name)
    if found is None:
        _refuse_second(catalog, declared)
        return _create(catalog, declared)
    changes: list[Change] = []
    if not is_ours(found.comment):
        changes.append(_mark(declared.name, "it was built by hand and has the documented schema"))
    for differs, reason, clause, value in (
        (
            found.owner != declared.owner,
            f"owner is {found.owner}, declared {declared.owner}",
            "OWNER TO",
            declared.owner,
        ),
        (
            found.connection_limit != declared.connection_limit,
            f"connection limit is {found.connection_limit}, declared {declared.connection_limit}",
            "CONNECTION LIMIT",
            declared.connection_limit,
        ),
        (not found.allows_connections, "connections to it are not allowed", "ALLOW_CONNECTIONS", True),
        (found.template, "is a template: every role with CREATEDB may copy it", "IS_TEMPLATE", False),
    ):
        if differs:
            changes.append(_alter(declared.name, reason, clause, value))
    return changes


def _alter(name: str, reason: str, clause: str, value: str | int | bool) -> Change:
    from psycopg.sql import SQL, Identifier, Literal

    clauses = {
        "OWNER TO": SQL("ALTER DATABASE {} OWNER TO {}"),
        "CONNECTION LIMIT": SQL("ALTER DATABASE {} WITH CONNECTION LIMIT {}"),
        "ALLOW_CONNECTIONS": SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}"),
        "IS_TEMPLATE": SQL("ALTER DATABASE {} WITH IS_TEMPLATE {}"),
    }
    shown = Identifier(value) if isinstance(value, str) else Literal(value)
    return Change(
        subject=f"database {name}",
        action="alter",
        reason=reason,
        statement=clauses[clause].format(Identifier(name), shown),
    )


def _mark(name: str, reason: str) -> Change:
    from psycopg.sql import SQL, Identifier, Literal

    statement = SQL("COMMENT ON DATABASE {} IS {}").format(Identifier(name), Literal(MARK))
    return Change(subject=f"database {name}", action="adopt", reason=reason, statement=statement)


def unfinished_name(name: str) -> str:
    """The temporary name of a database until it carries our mark; at most 63 bytes, the limit of an identifier."""
    return f"{name[:50]}_unfinished"


def _create(catalog: Catalog, declared: DatabaseDeclaration) -> list[Change]:
    from psycopg.sql import SQL, Identifier

    if declared.tablespace not in catalog.tablespaces:
        raise CatalogError(
            "create the database",
            "postgres.tablespace",
            f"the server has no tablespace {declared.tablespace}",
            f"it has {', '.join(catalog.tablespaces)}; create it, or declare one of these",
        )
    unfinished = unfinished_name(declared.name)
    changes = []
    if catalog.database(unfinished) is not None:
        changes.append(
            Change(
                subject=f"database {unfinished}",
                action="drop",
                reason="was left behind, empty, by an interrupted run",
                statement=SQL("DROP DATABASE {}").format(Identifier(unfinished)),
                transactional=False,
            )
        )
    create = Change(
        subject=f"database {declared.name}",
        action="create",
        reason="does not exist",
        statement=_create_statement(unfinished, declared),
        transactional=False,
    )
    return [*changes, create, _finish(unfinished, declared)]


def _finish(unfinished: str, declared: DatabaseDeclaration) -> Change:
    """CREATE DATABASE cannot set a comment or run in a transaction: the database has a temporary name until it is marked."""
    from psycopg.sql import SQL, Identifier

    rename = SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(unfinished), Identifier(declared.name))
    comment = _mark(unfinished, "").statement
    assert comment is not None  # noqa: S101
    return Change(
        subject=f"database {declared.name}",
        action="set",
        reason="its final name and the comment that marks it as managed are set in one transaction",
        statement=joined([comment, rename]),
    )


def _create_statement(name: str, declared: DatabaseDeclaration) -> Composable:
    from psycopg.sql import SQL, Identifier, Literal

    locale: dict[str, Callable[[], Composable]] = {
        # LC_COLLATE and LC_CTYPE name locales of the operating system; every one has C.
        "builtin": lambda: SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {} LC_COLLATE 'C' LC_CTYPE 'C'").format(
            Literal(declared.locale)
        ),
        "icu": lambda: SQL("LOCALE_PROVIDER icu ICU_LOCALE {} LC_COLLATE 'C' LC_CTYPE 'C'").format(
            Literal(declared.locale)
        ),
        "libc": lambda: SQL("LOCALE_PROVIDER libc LC_COLLATE {0} LC_CTYPE {0}").format(Literal(declared.locale)),
    }
    return SQL(
        "CREATE DATABASE {} OWNER {} ENCODING {} {} TABLESPACE {} CONNECTION LIMIT {} TEMPLATE template0"
    ).format(
        Identifier(name),
        Identifier(declared.owner),
        Literal(declared.encoding),
        locale[declared.locale_provider](),
        Identifier(declared.tablespace),
        Literal(declared.connection_limit),
    )


def findings(catalog: Catalog, declared: DatabaseDeclaration) -> list[Finding]:
    """Differences that cannot be changed in place: encoding, locale, locale provider, tablespace."""
    found = catalog.database(declared.name)
    if found is None:
        return []
    rebuild = "dump it and restore it into a new database, or declare the value it has"
    return [
        Finding(f"database {declared.name}", f"{what} is {observed}, declared {wanted}", rebuild)
        for what, observed, wanted in _immutable_facts(found, declared)
        if not same_name(observed, wanted)
    ]


def _immutable_facts(found: Database, declared: DatabaseDeclaration) -> list[tuple[str, str, str]]:
    facts = [
        ("encoding", found.encoding, declared.encoding),
        ("locale provider", found.provider, declared.locale_provider),
        ("tablespace", found.tablespace, declared.tablespace),
    ]
    if found.provider == "libc":
        return [*facts, ("LC_COLLATE", found.collate, declared.locale), ("LC_CTYPE", found.ctype, declared.locale)]
    return [*facts, ("locale", found.locale, declared.locale)]


def same_name(observed: str, declared: str) -> bool:
    """Of locales and encodings: glibc accepts both en_US.UTF-8 and en_US.utf8 for the same locale."""
    one, other = (name.lower().replace("utf-8", "utf8") for name in (observed, declared))
    return one == other
