"""How a check says that something is not as it should be."""

from __future__ import annotations

MENDED_BY_UP = "run `make up` on this stack: it puts this back"


class MismatchError(AssertionError):
    """A check that did not pass: what was expected, what was observed, what to do about it.

    structural: only a migration may mend it.
    """

    def __init__(self, expected: object, observed: object, remedy: str, structural: bool = False) -> None:
        self.structural = structural
        super().__init__(f"expected: {expected}\nobserved: {observed}\n-> {remedy}")


def expect(observed: object, expected: object, remedy: str = MENDED_BY_UP, *, structural: bool = False) -> None:
    """Raises MismatchError unless both are equal."""
    if observed != expected:
        raise MismatchError(expected, observed, remedy, structural)


def expect_that(condition: bool, expected: str, observed: object, remedy: str = MENDED_BY_UP) -> None:
    """Raises MismatchError unless `condition` holds; `expected` says it in words."""
    if not condition:
        raise MismatchError(expected, observed, remedy)
