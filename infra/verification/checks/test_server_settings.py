"""PostgreSQL's settings in force: durability, then everything that was declared."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from infra.postgres.session_settings import CHANGES_RESULTS
from infra.verification.checks.expectation import expect
from infra.verification.checks.expected import DURABILITY
from infra.verification.checks.observations import Connection, in_place
from infra.verification.subject import Subject

UNITS = {
    **{"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40, "8kb": 2**13, "16mb": 2**24},
    **{"us": 1, "ms": 10**3, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6},
}
"""Unit -> bytes or microseconds; some settings are in pages or WAL segments."""
TRUE, FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")


def comparable(text: str, setting: dict[str, Any]) -> object:
    """A setting's value in canonical form: `128MB` equals 16384 pages, and `yes` equals `on`."""
    plain = text.strip().strip("'")
    if setting["type"] == "bool":
        return True if plain.lower() in TRUE else False if plain.lower() in FALSE else plain
    number = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)", plain)
    if setting["type"] in ("integer", "real") and number:
        unit = (number[2] or setting["unit"] or "").lower()
        return Decimal(number[1]) * UNITS.get(unit, 1) if Decimal(number[1]) >= 0 else Decimal(number[1])
    return ", ".join(part.strip() for part in plain.split(",")).lower() if setting["type"] == "enum" else plain


@pytest.mark.parametrize("name", DURABILITY)
def test_durability(catalog: dict[str, Any], name: str) -> None:
    remedy = "a power failure could lose committed payments: run `make up`"
    if name == "data_checksums":
        remedy = "stop the server, run pg_checksums --enable on its data folder, start it again"
    expect(catalog["settings"][name]["value"], DURABILITY[name], remedy)


@pytest.mark.parametrize("name", DURABILITY)
def test_durability_for_the_application(application: Connection, name: str) -> None:
    row = application.execute("SELECT current_setting(%s) AS value", [name]).fetchone()
    assert row is not None
    expect(row["value"], DURABILITY[name], "ALTER ROLE or ALTER DATABASE ... SET overrides it: RESET it")


def test_password_encryption(catalog: dict[str, Any]) -> None:
    expect(catalog["settings"]["password_encryption"]["value"], "scram-sha-256")


def test_listen_addresses(catalog: dict[str, Any], subject: Subject) -> None:
    expect(catalog["settings"]["listen_addresses"]["value"], subject.postgres.placeholders["host"])


def test_data_directory(catalog: dict[str, Any], subject: Subject) -> None:
    expect(
        catalog["settings"]["data_directory"]["value"],
        subject.postgres.placeholders["data"],
        "another server answers on this stack's port: stop it, then run `make up`",
    )


def test_declared(catalog: dict[str, Any], subject: Subject, postgres_parameter: str) -> None:
    setting = catalog["settings"][postgres_parameter]
    declared = in_place(subject.postgres.parameters[postgres_parameter], subject.postgres)
    expect(comparable(setting["value"], setting), comparable(declared, setting))


def test_nothing_waits_for_a_restart(catalog: dict[str, Any]) -> None:
    waiting = sorted(name for name, setting in catalog["settings"].items() if setting["pending_restart"])
    expect(waiting, [], "circlepay restart --server postgres")


def test_nothing_overridden(catalog: dict[str, Any], subject: Subject) -> None:
    """Other settings of roles and databases only tune sessions: `up` reports them."""
    declared = {*subject.postgres.parameters, *DURABILITY, *CHANGES_RESULTS}
    overrides = [
        f"{each['setting']} for {each['role'] or 'all roles'}"
        for each in [*catalog["overrides"], *catalog["system_overrides"]]
        if each["setting"].partition("=")[0] in declared
    ]
    expect(overrides, [])
