"""Servers as processes, in a data root of a test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.placements import Stage, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made
