"""Amounts of memory mean what redis.conf says they mean."""

from __future__ import annotations

import pytest

from infra.cache.memory import bytes_of


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("0", 0),
        ("5", 5),
        ("5b", 5),
        ("1k", 1000),
        ("1kb", 1024),
        ("1m", 1_000_000),
        ("256mb", 268_435_456),
        ("256MB", 268_435_456),
        ("1g", 1_000_000_000),
        ("2Gb", 2_147_483_648),
    ],
)
def test_amounts(amount: str, expected: int) -> None:
    assert bytes_of(amount) == expected


@pytest.mark.parametrize("amount", ["", "mb", "-1", "1.5gb", "1 gb", "1tb", "0x10"])
def test_no_amounts(amount: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory"):
        bytes_of(amount)
