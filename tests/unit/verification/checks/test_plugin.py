"""What is said of a check that did not come to its end."""

from __future__ import annotations

import psycopg
import pytest

from infra.verification.checks import plugin


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"), "another session holds a lock"),
        (psycopg.OperationalError("connection refused"), "check that the server is up"),
        (KeyError("x"), "check that the server is up"),
    ],
)
def test_an_error_is_told_with_what_to_do(error: Exception, hint: str) -> None:
    observed, found = plugin._message(error).splitlines()[1:]
    assert type(error).__name__ in observed
    assert hint in found
