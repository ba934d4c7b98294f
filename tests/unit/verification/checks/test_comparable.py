"""Values that mean the same compare equal, others do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.verification.checks import test_database, test_redis, test_server_settings
from infra.verification.checks.expectation import MismatchError
from tests.support.locations import process_location
from tests.support.verification_stack import subject_of

MEMORY = {"type": "integer", "unit": "8kB"}
TIME = {"type": "integer", "unit": "ms"}
SWITCH = {"type": "bool", "unit": None}
TEXT = {"type": "string", "unit": None}


@pytest.mark.parametrize(
    ("declared", "observed", "setting", "same"),
    [
        ("128MB", "16384", MEMORY, True),
        ("128MB", "16385", MEMORY, False),
        ("1s", "1000", TIME, True),
        ("1min", "1000", TIME, False),
        ("-1", "-1", TIME, True),
        ("yes", "on", SWITCH, True),
        ("off", "on", SWITCH, False),
        ("'ISO, YMD'", "ISO, YMD", TEXT, True),
        ("0.9", "0.9", {"type": "real", "unit": None}, True),
        ("Replica", "replica", {"type": "enum", "unit": None}, True),
    ],
)
def test_postgres(declared: str, observed: str, setting: dict[str, object], same: bool) -> None:
    both = (test_server_settings.comparable(declared, setting), test_server_settings.comparable(observed, setting))
    assert (both[0] == both[1]) is same


@pytest.mark.parametrize(
    ("name", "declared", "observed", "same"),
    [
        ("maxmemory", "256mb", "268435456", True),
        ("maxmemory", "256m", "268435456", False),
        ("save", '"900 1 300 10"', "900 1  300 10", True),
        ("save", "", '""', True),
        ("timeout", "0", "1", False),
    ],
)
def test_redis_values(name: str, declared: str, observed: str, same: bool) -> None:
    assert (test_redis.comparable(name, declared) == test_redis.comparable(name, observed)) is same


def test_a_locale_is_the_same_in_either_spelling() -> None:
    """PostgreSQL keeps the name as it was written when the database was made."""
    stack = subject_of(*(process_location(name, Path("/nowhere"), 1) for name in ("postgres", "redis")))
    subject = replace(stack, postgres=replace(stack.postgres, locale="en_US.UTF-8"))
    database = {"datlocprovider": "c", "datcollate": "en_US.utf8", "datctype": "en_US.utf8"}
    test_database.test_locale({"database": database}, subject)
    with pytest.raises(MismatchError, match="observed: ko_KR"):
        test_database.test_locale({"database": {**database, "datctype": "ko_KR.utf8"}}, subject)
