"""(e) A cold `up` of a stack on containers. Against the containers by hand with psql, and the `up` of an empty program."""

from __future__ import annotations

from pathlib import Path

from tests.bench import container_stacks, containers_by_hand
from tests.bench.cold import empty_up
from tests.bench.containers_by_hand import Pair
from tests.bench.pairs import compared, interleaved, timed
from tests.bench.progress import say
from tests.bench.report import Report
from tests.support.clones import Clone

BARE = "on containers: cold up, verification off"
VERIFIED = "on containers: cold up, verified"
BY_HAND = "containers run by hand, initdb, psql"
EMPTY = "up of an empty program beside containers"
REFERENCE = "containers by hand, and an empty program's up"


def measure(folder: Path, rounds: int, report: Report) -> None:
    """Adds both comparisons to the report: with the verification and without."""
    if not container_stacks.are_possible(report):
        return
    with container_stacks.standing(folder, verify=False) as clone:
        say("bringing up a stack on containers to learn what they are made of")
        clone.up().expect()
        pair = Pair.of(clone, folder)
    sides = {
        BARE: lambda: _cold_up(folder, verify=False),
        BY_HAND: lambda: _by_hand(pair, clone),
        EMPTY: lambda: empty_up(folder),
        VERIFIED: lambda: _cold_up(folder, verify=True),
    }
    measured = interleaved(sides, rounds)
    reference = [by_hand + empty for by_hand, empty in zip(measured[BY_HAND], measured[EMPTY], strict=True)]
    report.add(
        measured,
        compared(BARE, measured[BARE], REFERENCE, reference, aim=1.5),
        compared(VERIFIED, measured[VERIFIED], REFERENCE, reference, aim=1.5),
    )


def _cold_up(folder: Path, *, verify: bool) -> float:
    with container_stacks.standing(folder, verify=verify) as clone:
        return timed(lambda: clone.up().expect())


def _by_hand(pair: Pair, clone: Clone) -> float:
    with containers_by_hand.prepared(pair, clone) as own:
        return timed(own.bring_up)
