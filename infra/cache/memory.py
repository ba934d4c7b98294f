"""Amounts of memory in the syntax of redis.conf."""

from __future__ import annotations

import re

UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}
"""Bytes; case does not matter. Source: the head of redis.conf."""


def bytes_of(amount: str) -> int:
    """`256mb` -> 268435456. Raises ValueError for anything that Redis would refuse in redis.conf."""
    found = re.fullmatch(r"([0-9]+)([a-z]*)", amount.casefold())
    if found is None or found[2] not in UNITS:
        raise ValueError(
            f"{amount!r} is not an amount of memory: write digits and one of {', '.join(unit for unit in UNITS if unit)}"
        )
    return int(found[1]) * UNITS[found[2]]
