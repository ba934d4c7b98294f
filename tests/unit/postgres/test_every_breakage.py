"""What the verification notices on a PostgreSQL server is mended by one `up`, or a finding that blocks nothing, or told.

Repair and verification share one declaration: a promise that is broken in another way, and is not mended, has to be written
down here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from infra.errors import MigrationError
from infra.postgres import catalog, execution, parameters
from infra.postgres.facts import Catalog
from infra.postgres.objects import Outcome
from infra.verification.checks.observations import CATALOG_QUERY
from tests.support.verification_breakages import SERVERS
from tests.support.verification_object_breakages import OBJECTS, PRIVILEGES
from tests.unit.postgres.conftest import OWNER, ROLE, Stage, copied

BROKEN = {breakage.name: breakage for breakage in (*OBJECTS, *PRIVILEGES, *SERVERS)}
FINDINGS = {
    "the currency has its documented width": "column public.transactions.currency",
    "TABLE kyc_documents DROP COLUMN risk_factors": "column public.kyc_documents.risk_factors",
    "TABLE users ADD COLUMN nickname text": "column public.users.nickname",
    "an index was added": "index public.by_hand",
    "TABLE users ADD CONSTRAINT by_hand CHECK (kyc_level < 9)": "check public.users.by_hand",
    "TABLE kyc_documents SET UNLOGGED": "table public.kyc_documents",
    "a role has an MD5 verifier": "role old",
}
"""What a migration or a person may change -> the finding's subject."""
BLOCKING = {
    "the currency has its documented width": "the defaults of the application's inserts fail",
    "a role has an MD5 verifier": "the check says whose password is to be set again",
}
"""Findings that are also refused by the verification, and why: the rest of FINDINGS are structural."""
ERRORS: dict[str, tuple[type[Exception], str]] = {
    "an applied migration was edited": (MigrationError, "0001_baseline.sql"),
}
"""What ends an `up` -> its error, and what it names."""
OF_THE_TARGET = {
    "everybody is trusted": "a file of the target's",
    "other machines are let in": "a file of the target's",
    "PostgreSQL listens on more and shows a password in argv": "the command of the target's",
}
"""What is no object of the server's; drifts of the contract suite (tests/contract) show that `up` mends it on every target."""
MENDED = [name for name in BROKEN if name not in {*FINDINGS, *ERRORS, *OF_THE_TARGET}]
VOLATILE = {"bytes", "scans", "rows", "last_value", "backend_pid", "file"}
"""What changes with use, in the facts of a catalog."""
PARAMETER_GRANTS = """
SELECT coalesce(array_agg(concat_ws(' ', pg_get_userbyid(a.grantee), a.privilege_type, p.parname)), '{}')
FROM pg_parameter_acl p, aclexplode(p.paracl) a WHERE a.grantee <> 10
"""


@dataclass
class Broken:
    """A Stage, as the steps of a breakage see a stack."""

    stage: Stage

    def sql(self, *statements: str, database: str = "") -> None:
        """Run statements as the superuser."""
        meant = [each.replace("circlepay_db", self.stage.name) for each in statements]
        # A membership of PostgreSQL 15 has no options.
        before_16 = [each.removesuffix(" WITH INHERIT FALSE") for each in meant]
        old = self.stage.ask("SELECT current_setting('server_version_num')::int") < 160000
        self.stage.run(*(before_16 if old else meant), database=database)

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """A superuser's session."""
        return self.stage.connect(database)


def _flat(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from () if name in VOLATILE else _flat(f"{path}.{name}", each)
    elif isinstance(value, list):
        yield path, sorted(map(_sorted, value))
    else:
        yield path, None if value == "infinity" else value


def _sorted(item: object) -> str:
    """An object of a list as text, to be compared whatever its place."""
    kept = {name: each for name, each in item.items() if name not in VOLATILE} if isinstance(item, dict) else item
    return json.dumps(kept, sort_keys=True)


def state(stage: Stage) -> dict[str, object]:
    """Every fact that a check or a repair looks at, by its path."""
    with stage.connect() as connection:
        facts = catalog.read_document(connection, parameters.NAMES)
        names = {"role": ROLE, "owner": OWNER, "database": stage.name}
        with connection.cursor(row_factory=dict_row) as cursor:
            checked = cursor.execute(CATALOG_QUERY.read_bytes(), names).fetchone()
    return dict(_flat("", {"repair": facts, "check": checked, "parameter grants": stage.ask(PARAMETER_GRANTS)}))


def facts_of(stage: Stage) -> Catalog:
    with stage.connect() as connection:
        return catalog.read(connection, parameters.NAMES)


def up(stage: Stage, wanted: dict[str, str]) -> Outcome:
    """What one `up` does with the database and with the parameters of its server."""
    outcome = stage.apply()
    with stage.connect() as connection:
        changes = parameters.plan(catalog.read(connection, parameters.NAMES), wanted)
        sent = [change for change in changes if change.statement is not None]
        execution.run(connection, sent, cancelled=threading.Event())
        return outcome


def different(one: dict[str, object], other: dict[str, object]) -> set[str]:
    """Paths of the facts that differ."""
    return {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}


@pytest.fixture(scope="module")
def stage(finished: Stage) -> Iterator[Stage]:
    """One for all: each breakage is mended or undone."""
    with copied(finished) as copy:
        yield copy


@pytest.fixture(scope="module")
def whole(stage: Stage) -> dict[str, object]:
    """Its state before anything is broken."""
    return state(stage)


@pytest.fixture(scope="module")
def in_force(stage: Stage) -> dict[str, str]:
    """The parameters as they are declared here."""
    return {setting.name: setting.value for setting in facts_of(stage).settings}


@pytest.fixture
def break_it(stage: Stage) -> Iterator[Callable[[str], None]]:
    """Breaks a promise by its name; it is put right afterwards, were it mended or not."""
    done: list[str] = []

    def run(name: str) -> None:
        done.append(name)
        BROKEN[name].do(Broken(stage))

    yield run
    for name in done:
        with suppress(psycopg.Error):
            BROKEN[name].undo(Broken(stage))


@pytest.mark.parametrize("name", MENDED)
def test_one_up_mends_it(
    stage: Stage, whole: dict[str, object], in_force: dict[str, str], break_it: Callable[[str], None], name: str
) -> None:
    break_it(name)
    assert different(whole, state(stage))
    up(stage, in_force)
    assert different(whole, state(stage)) == set()


@pytest.mark.parametrize("name", FINDINGS)
def test_it_is_a_finding_and_left(
    stage: Stage, whole: dict[str, object], in_force: dict[str, str], break_it: Callable[[str], None], name: str
) -> None:
    break_it(name)
    broken = state(stage)
    assert different(whole, broken)
    outcome = up(stage, in_force)
    assert FINDINGS[name] in {finding.subject for finding in outcome.findings}
    assert different(broken, state(stage)) == set()
    assert BROKEN[name].structural == (name not in BLOCKING)


@pytest.mark.parametrize("name", ERRORS)
def test_the_error_says_what_to_do(
    stage: Stage, in_force: dict[str, str], break_it: Callable[[str], None], name: str
) -> None:
    kind, told = ERRORS[name]
    break_it(name)
    with pytest.raises(kind, match=told) as caught:
        up(stage, in_force)
    assert getattr(caught.value, "hint", "")


def test_every_breakage_is_in_one_table() -> None:
    listed = [*MENDED, *FINDINGS, *ERRORS, *OF_THE_TARGET]
    assert sorted(listed) == sorted(BROKEN)
    assert BLOCKING.keys() <= FINDINGS.keys()
    assert not [name for name in MENDED if BROKEN[name].structural]
