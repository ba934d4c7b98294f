"""(a) All objects of the document on a running server: applied in-process, against `psql -f` in one transaction.

All find an empty database that somebody has been in: CREATE DATABASE, which no transaction can hold, and the first session,
which leaves a cache for the next ones, are made beforehand and not counted. Ours leaves more behind than the script does: a
record of each migration, marks, and, where it reads back, its findings.

The floor is the script as one message, with nobody asking, planning or recording anything: what the server itself needs, so
that no client can be faster.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from infra.endpoint import Login
from infra.postgres.connection import connect
from infra.postgres.objects import DatabaseObjects, Section, apply_all, declare
from infra.settings.model import PostgresSettings
from tests.bench import documented
from tests.bench.by_hand import Machine, running_postgres
from tests.bench.pairs import compared, interleaved, timed
from tests.bench.report import Report
from tests.support.clones import PROJECT_ROOT

IN_PROCESS, READ_BACK, PSQL = "objects applied in-process", "the same, then read back", "psql -1 -f"
OPEN_SESSION = "the same on a session that is open already"
FLOOR = "floor: the script as one message, session open"
LOGIN_AND_FLOOR = "floor: login, then the script as one message"

_AIMS = {IN_PROCESS: 2.0, OPEN_SESSION: 2.0, READ_BACK: 2.0, LOGIN_AND_FLOOR: None, FLOOR: None}

_numbers = itertools.count()


def measure(folder: Path, rounds: int, report: Report) -> None:
    """Adds the comparisons to the report: logging in or not, reading the result back or not, and the floors of either."""
    with running_postgres(folder) as machine:
        sides = {
            IN_PROCESS: lambda: _in_process(machine, observe=False),
            OPEN_SESSION: lambda: _on_open_session(machine),
            PSQL: lambda: _by_psql(machine),
            LOGIN_AND_FLOOR: lambda: _by_one_message(machine, log_in=True),
            FLOOR: lambda: _by_one_message(machine, log_in=False),
            READ_BACK: lambda: _in_process(machine, observe=True),
        }
        measured = interleaved(sides, rounds)
    comparisons = [
        compared(name, measured[name], PSQL, measured[PSQL], aim=aim, faster=True) for name, aim in _AIMS.items()
    ]
    report.add(measured, *comparisons)


def _in_process(machine: Machine, *, observe: bool) -> float:
    login, objects = _empty(machine)
    return timed(lambda: apply_all(login, objects, observe=observe))


def _on_open_session(machine: Machine) -> float:
    login, objects = _empty(machine)
    with connect(login) as connection:
        return timed(lambda: apply_all(login, objects, observe=False, connection=connection))


def _by_psql(machine: Machine) -> float:
    own, script = _bare(machine)
    return timed(lambda: machine.psql(own.database, "-1", "-f", str(script)))


def _by_one_message(machine: Machine, *, log_in: bool) -> float:
    own, script = _bare(machine)
    login = machine.login(own.database)
    message = f"BEGIN;\n{script.read_text(encoding='utf-8')}\n;\nCOMMIT".encode()

    def log_in_and_send() -> None:
        with connect(login) as connection:
            connection.execute(message)

    if log_in:
        return timed(log_in_and_send)
    with connect(login) as connection:
        return timed(lambda: connection.execute(message))


def _empty(machine: Machine) -> tuple[Login, DatabaseObjects]:
    """A database of ours with nothing in it, and the declaration of what belongs there."""
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
    return login, objects


def _bare(machine: Machine) -> tuple[PostgresSettings, Path]:
    """A database made by hand with nothing in it, and the script that fills it."""
    own = _new_names(machine)
    script = documented.script(own, machine.folder / "objects.sql")
    machine.psql("postgres", "-c", documented.create_database(own))
    machine.psql(own.database, "-c", "SELECT")
    _checkpoint(machine)
    return own, script


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
    with connect(machine.login("postgres")) as connection:
        connection.execute("CHECKPOINT")
