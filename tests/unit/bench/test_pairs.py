"""Ratios: taken within each round, on the right side of their aim, and a floor has none."""

from __future__ import annotations

import pytest

from tests.bench.pairs import Comparison, compared, interleaved
from tests.bench.report import Report


def comparison(*, aim: float | None, faster: bool = True) -> Comparison:
    return compared("ours", [1.0, 2.0, 4.0], "theirs", [3.0, 4.0, 4.0], aim=aim, faster=faster)


def test_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    found = compared("ours", [1.0, 2.0, 10.0], "theirs", [4.0, 2.0, 5.0], aim=2.0, faster=True)
    assert (found.ratio, found.lowest, found.highest) == (1.0, 0.5, 4.0)
    assert (found.ours, found.reference) == (2.0, 4.0)


@pytest.mark.parametrize(
    ("aim", "faster", "met"),
    [(2.0, True, True), (2.1, True, False), (0.5, False, True), (0.4, False, False), (None, True, None)],
)
def test_aim_is_met_on_its_own_side_and_a_floor_has_none(aim: float | None, faster: bool, met: bool | None) -> None:
    assert comparison(aim=aim, faster=faster).met is met


def test_report_shows_a_floor_without_a_verdict() -> None:
    report = Report({"cores": "2"})
    report.add({}, comparison(aim=None), comparison(aim=3.0))
    floor, aimed = report.as_text().splitlines()[2:4]
    assert floor.split("|")[-3:-1] == [" none       ", "     "]
    assert [cell.strip() for cell in aimed.split("|")[-3:-1]] == ["at least 3", "no"]
    assert [entry["met"] for entry in report.as_dict()["comparisons"]] == [None, False]  # type: ignore[attr-defined]


def test_rounds_alternate_and_the_rehearsal_is_thrown_away() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    measured = interleaved({"a": lambda: side("a"), "b": lambda: side("b")}, 2)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert measured == {"a": [3.0, 6.0], "b": [4.0, 5.0]}
