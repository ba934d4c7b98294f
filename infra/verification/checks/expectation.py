"""How a check reports a difference between the expected and the observed state."""

from __future__ import annotations

REPAIRED_BY_UP = "run `make up` on this stack: it restores this"


class MismatchError(AssertionError):
    """A failed check: what was expected, what was observed, what to do. structural: only a migration may repair it."""

    def __init__(self, expected: object, observed: object, remedy: str, structural: bool = False) -> None:
        self.structural = structural
        super().__init__(f"expected: {expected}\nobserved: {observed}\n-> {remedy}")


def expect(observed: object, expected: object, remedy: str = REPAIRED_BY_UP, *, structural: bool = False) -> None:
    """Raises MismatchError unless both are equal."""
    if observed != expected:
        raise MismatchError(expected, observed, remedy, structural)


def expect_that(condition: bool, expected: str, observed: object, remedy: str = REPAIRED_BY_UP) -> None:
    """Raises MismatchError unless `condition` holds; `expected` describes it in words."""
    if not condition:
        raise MismatchError(expected, observed, remedy)
