"""Interleaved rounds: A B, B A, A B ..., so that a machine that slows down slows both sides alike.

A ratio is taken within each round, and its median over the rounds is what counts: what happens between two rounds, on a busy
machine, is in neither.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.bench.progress import say

PAIRS = 5
"""Counted rounds of each comparison, after one that is not counted."""

Sides = Mapping[str, Callable[[], float]]
"""What is measured, by name: each call prepares, works, cleans up, and returns the seconds of the work alone."""

Measured = Mapping[str, Sequence[float]]
"""Seconds by name, one for each counted round, in the order of the rounds."""


@dataclass(frozen=True)
class Comparison:
    """Ours against a reference.

    ours, reference: medians in seconds. ratio: the median of the rounds' ratios. lowest, highest: the ratio's range.
    faster: the ratio is reference / ours, «so many times faster»; else ours / reference, «so many times as long».
    aim: the ratio that was aimed at; met when the ratio is on its right side. None: a floor, shown beside what has an aim.
    """

    name: str
    ours: float
    reference: float
    against: str
    ratio: float
    lowest: float
    highest: float
    faster: bool
    aim: float | None
    rounds: int

    @property
    def met(self) -> bool | None:
        """Whether the aim was reached in this run; None where there is none."""
        if self.aim is None:
            return None
        return self.ratio >= self.aim if self.faster else self.ratio <= self.aim

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {**asdict(self), "met": self.met}


def timed(work: Callable[[], object]) -> float:
    """Seconds the work took, by the monotonic clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(sides: Sides, rounds: int) -> Measured:
    """Every side once in each round, in turn forwards and backwards; the first round is a rehearsal that fills the caches."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in list(sides) if number % 2 else reversed(list(sides)):
            label = f"round {number} of {rounds}" if number else "rehearsal"
            seconds = sides[name]()
            say(f"{label}: {name}: {seconds:.3f} s")
            if number:
                measured[name].append(seconds)
    return measured


def compared(
    name: str,
    ours: Sequence[float],
    against: str,
    reference: Sequence[float],
    *,
    aim: float | None,
    faster: bool = False,
) -> Comparison:
    """The comparison of two sides that were measured in the same rounds."""
    ratios = [b / a if faster else a / b for a, b in zip(ours, reference, strict=True)]
    return Comparison(
        name=name,
        ours=statistics.median(ours),
        reference=statistics.median(reference),
        against=against,
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        faster=faster,
        aim=aim,
        rounds=len(ratios),
    )
