"""The roles of a database, the application's and the owner's: attributes, password and memberships.

The password is never sent: the server stores a SCRAM-SHA-256 verifier (RFC 5802, RFC 7677), which is computed and compared
here, so that it does not appear even in the log of a server that logs every statement.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.changes import Change, Finding
from infra.errors import CatalogError
from infra.postgres.database import MARK, is_ours
from infra.postgres.execution import joined, raw
from infra.postgres.facts import Catalog, Role

if TYPE_CHECKING:
    from psycopg.sql import Composable

ITERATIONS = 4096
"""PostgreSQL's own default (scram_iterations)."""

_SALT_BYTES = 16
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


@dataclass(frozen=True)
class RoleDeclaration:
    """adopt: take over a role of that name without our mark. login: False for a role that only owns, without a password.

    setting: the one that names the role. sole: the server has no other stack's, so that another marked role with a login is
    this one under an earlier name. All other attributes are fixed: see ATTRIBUTES.
    """

    name: str = "circlepay_user"
    password: str = field(default="", repr=False)
    adopt: bool = False
    login: bool = True
    setting: str = "postgres.applicationRole"
    sole: bool = False

    @property
    def attributes(self) -> dict[str, Attribute]:
        """Field of facts.Role -> its declaration."""
        return {**ATTRIBUTES, "login": Attribute(self.login, "LOGIN")}


def owner(name: str, *, adopt: bool = False) -> RoleDeclaration:
    """The role that owns the objects: nobody can log in as it."""
    return RoleDeclaration(name, adopt=adopt, login=False, setting="postgres.ownerRole")


@dataclass(frozen=True)
class Attribute:
    """wanted: the declared value. keyword: sets the attribute; prefixed with NO it clears it."""

    wanted: bool
    keyword: str

    def word(self, value: bool) -> str:
        """The keyword that sets the attribute to `value`."""
        return self.keyword if value else f"NO{self.keyword}"


ATTRIBUTES = {
    "login": Attribute(True, "LOGIN"),
    "superuser": Attribute(False, "SUPERUSER"),
    "create_database": Attribute(False, "CREATEDB"),
    "create_role": Attribute(False, "CREATEROLE"),
    "inherit": Attribute(True, "INHERIT"),
    "replication": Attribute(False, "REPLICATION"),
    "bypass_rls": Attribute(False, "BYPASSRLS"),
}
"""Field of facts.Role -> its declaration: the defaults of CREATE USER."""


_POWERS = ("superuser", "create_role", "create_database", "replication", "bypass_rls")


def verifier(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """The verifier that PostgreSQL would store for `password`. Raises CatalogError when it is not printable ASCII.

    Other characters would have to be normalised as the client library does (SASLprep), or every login would fail.
    """
    if not password or not password.isascii() or not password.isprintable():
        raise CatalogError(
            "compute a password verifier",
            "postgres.applicationPassword",
            "it must be printable ASCII",
            "choose another password",
        )
    salt = salt if salt is not None else secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def matches(password: str, stored: str | None) -> bool:
    """Whether `stored` is a SCRAM verifier of `password`: recomputed with its own salt and iterations."""
    match = _VERIFIER.fullmatch(stored or "")
    if match is None:
        return False
    again = verifier(password, salt=base64.b64decode(match[2]), iterations=int(match[1]))
    return hmac.compare_digest(again, str(stored))


def plan(catalog: Catalog, declared: RoleDeclaration) -> list[Change]:
    """Changes that bring the role to its declaration; empty when none is needed. Pure.

    Raises CatalogError for a role without our mark that is not to be adopted.
    """
    found = catalog.role(declared.name)
    if found is None or not found.login:
        # One without a login may only have been reserved, by migrations of this same run.
        _refuse_second(catalog, declared)
    if found is None:
        return [_create(declared)]
    if not is_ours(found.comment) and not declared.adopt:
        raise CatalogError(
            "take over the role",
            f"role {declared.name}",
            "it exists on this server and was not made by this project",
            f"set postgres.adopt: true to take it over (its password is {'changed' if declared.login else 'removed'}), "
            f"or choose another {declared.setting}",
        )
    return [*_adopt(found), *_alter(found, declared), *_leave(catalog, declared)]


def reserve(catalog: Catalog, name: str) -> list[Change]:
    """The role where it does not exist, without a login yet: migrations may name it before it is given its password. Pure."""
    return [] if not name or catalog.role(name) else [_create(RoleDeclaration(name, login=False))]


def _refuse_second(catalog: Catalog, declared: RoleDeclaration) -> None:
    """Raises CatalogError rather than leave the login of a role that was declared under another name."""
    ours = [role.name for role in catalog.roles if declared.sole and role.login and is_ours(role.comment)]
    earlier = [name for name in ours if name != declared.name]
    if earlier:
        raise CatalogError(
            "create the role",
            declared.setting,
            f"{declared.name} does not exist, and {earlier[0]} is this stack's role: it would keep its login",
            f"set {declared.setting} to {earlier[0]} again; or rename it, then run `up`: "
            f"ALTER ROLE {earlier[0]} RENAME TO {declared.name}, as the superuser",
        )


def _create(declared: RoleDeclaration) -> Change:
    from psycopg.sql import SQL, Identifier, Literal

    create = SQL("CREATE ROLE {} WITH {} CONNECTION LIMIT -1 PASSWORD {}").format(
        Identifier(declared.name), _keywords(declared, declared.attributes), _password(declared)
    )
    comment = SQL("COMMENT ON ROLE {} IS {}").format(Identifier(declared.name), Literal(MARK))
    return Change(
        subject=f"role {declared.name}", action="create", reason="does not exist", statement=joined([create, comment])
    )


def _keywords(declared: RoleDeclaration, names: Iterable[str]) -> Composable:
    from psycopg.sql import SQL

    attributes = [declared.attributes[name] for name in names]
    return SQL(" ").join([raw(attribute.word(attribute.wanted)) for attribute in attributes])


def _password(declared: RoleDeclaration) -> Composable:
    from psycopg.sql import Literal

    return Literal(verifier(declared.password)) if declared.login else raw("NULL")


def _adopt(found: Role) -> list[Change]:
    from psycopg.sql import SQL, Identifier, Literal

    if is_ours(found.comment):
        return []
    statement = SQL("COMMENT ON ROLE {} IS {}").format(Identifier(found.name), Literal(MARK))
    return [Change(f"role {found.name}", "adopt", "postgres.adopt is set", statement=statement)]


def _alter(found: Role, declared: RoleDeclaration) -> list[Change]:
    from psycopg.sql import SQL, Identifier

    changes: list[Change] = []
    attributes = declared.attributes

    def alter(reason: str, clause: Composable, *, reversible: bool = True) -> None:
        statement = SQL("ALTER ROLE {} WITH {}").format(Identifier(found.name), clause)
        changes.append(Change(f"role {found.name}", "alter", reason, reversible=reversible, statement=statement))

    wrong = [name for name, attribute in attributes.items() if getattr(found, name) != attribute.wanted]
    if wrong:
        observed = ", ".join(attributes[name].word(not attributes[name].wanted) for name in wrong)
        alter(f"has {observed}", _keywords(declared, wrong))
    if found.connection_limit != -1:
        alter(f"connection limit is {found.connection_limit}, declared -1", SQL("CONNECTION LIMIT -1"))
    if found.expires:
        alter("its password has an expiry date, declared without one", SQL("VALID UNTIL 'infinity'"))
    if problem := _password_problem(found, declared):
        alter(problem, SQL("PASSWORD {}").format(_password(declared)), reversible=False)
    return changes


def _password_problem(found: Role, declared: RoleDeclaration) -> str:
    """Why the stored password is not as declared; empty when it is."""
    if not declared.login:
        return "has a password, declared without one" if found.verifier else ""
    if matches(declared.password, found.verifier):
        return ""
    return f"its password {'is not the declared one' if found.verifier else 'is missing'}"


def _leave(catalog: Catalog, declared: RoleDeclaration) -> list[Change]:
    """Ends memberships: they would give the application all privileges of the other role."""
    from psycopg.sql import SQL, Identifier

    changes = []
    for membership in catalog.memberships:
        if membership.member != declared.name:
            continue
        statement = SQL("REVOKE {} FROM {}").format(Identifier(membership.role), Identifier(declared.name))
        if catalog.server.major >= 16:
            # From 16 on each grant of a membership belongs to its grantor, and is only revoked when that is named.
            statement = SQL("{} GRANTED BY {}").format(statement, Identifier(membership.grantor))
        changes.append(
            Change(
                subject=f"role {declared.name}",
                action="revoke",
                reason=f"is a member of {membership.role}, declared without memberships",
                statement=statement,
            )
        )
    return changes


def findings(catalog: Catalog, declared: RoleDeclaration) -> list[Finding]:
    """Other roles that may act as the role."""
    members = [membership.member for membership in catalog.memberships if membership.role == declared.name]
    return [
        Finding(
            f"role {declared.name}",
            f"{member} is a member of it and has all its privileges",
            f"REVOKE {declared.name} FROM {member}, if that is not wanted",
        )
        for member in sorted(set(members) - {catalog.server.user})
    ]


def undeclared(catalog: Catalog, declared: RoleDeclaration) -> Iterator[Finding]:
    """Roles made by hand, or declared earlier, that can log in or may do what a table's privileges do not limit."""
    for role in catalog.roles:
        held = [ATTRIBUTES[name].keyword for name in _POWERS if getattr(role, name)]
        held += [item.role for item in catalog.memberships if item.member == role.name and item.role.startswith("pg_")]
        if role.name in {declared.name, catalog.server.user} or not (role.login or held):
            continue
        what = [*(["can log in"] if role.login else []), *([f"has {', '.join(held)}"] if held else [])]
        earlier = (
            "was made by this project and is no longer declared; it "
            if is_ours(role.comment)
            else "is not declared; it "
        )
        yield Finding(
            f"role {role.name}",
            f"{earlier}{' and '.join(what)}",
            f"DROP ROLE {role.name}, or ALTER ROLE {role.name} NOLOGIN, if it is not wanted",
        )
