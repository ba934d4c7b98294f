"""(a) All objects of the document on a running server: applied in-process, against `psql -f` in one transaction.

Both find an empty database: CREATE DATABASE, which no transaction can hold, is made beforehand for either side and not counted.
Ours leaves more behind than the script does: a record of each migration, marks, and, where it reads back, its findings.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import psycopg

from infra.postgres.objects import Section, apply_all, declare
from infra.settings import PostgresSettings
from tests.bench import documented
from tests.bench.by_hand import Machine, running_postgres
from tests.bench.pairs import compared, interleaved, timed
from tests.bench.report import Report
from tests.support.clones import PROJECT_ROOT

IN_PROCESS, READ_BACK, PSQL = "objects applied in-process", "the same, then read back", "psql -1 -f"

_numbers = itertools.count()


def measure(folder: Path, rounds: int, report: Report) -> None:
    """Adds the comparison to the report, with and without reading the result back."""
    with running_postgres(folder) as machine:
        sides = {
            IN_PROCESS: lambda: _in_process(machine, observe=False),
            PSQL: lambda: _by_psql(machine),
            READ_BACK: lambda: _in_process(machine, observe=True),
        }
        measured = interleaved(sides, rounds)
    report.add(
        measured,
        compared(IN_PROCESS, measured[IN_PROCESS], PSQL, measured[PSQL], aim=2.0, faster=True),
        compared(READ_BACK, measured[READ_BACK], PSQL, measured[PSQL], aim=2.0, faster=True),
    )


def _in_process(machine: Machine, *, observe: bool) -> float:
    own = _new_names(machine)
    objects = declare(
        own,
        application_password=documented.APPLICATION_PASSWORD,
        sql=PROJECT_ROOT / "sql",
        cache=machine.folder / "cache",
    )
    login = machine.login(own.database)
    apply_all(login, objects, sections={Section.DATABASE}, observe=False)
    _checkpoint(machine)
    return timed(lambda: apply_all(login, objects, observe=observe))


def _by_psql(machine: Machine) -> float:
    own = _new_names(machine)
    script = documented.script(own, machine.folder / "objects.sql")
    machine.psql("postgres", "-c", documented.create_database(own))
    _checkpoint(machine)
    return timed(lambda: machine.psql(own.database, "-1", "-f", str(script)))


def _new_names(machine: Machine) -> PostgresSettings:
    """Settings with a database and a role that are not there yet.

    Dropping the last ones instead would be measured too: a file system is slow to reuse what was deleted a moment ago.
    """
    number = next(_numbers)
    return machine.settings.postgres.model_copy(
        update={"database": f"bench_{number}", "application_role": f"role_{number}"}
    )


def _checkpoint(machine: Machine) -> None:
    """What was written before is on disk, so that nobody pays for somebody else's work."""
    login = machine.login("postgres")
    with psycopg.connect(
        host=login.endpoint.host,
        port=login.endpoint.port,
        user=login.user,
        password=login.password,
        dbname=login.database,
        autocommit=True,
    ) as connection:
        connection.execute("CHECKPOINT")
