"""The report tells what stops an `up` from what only a migration may mend."""

from __future__ import annotations

from infra.verification.report import Check, Failure, Report

REPORT = Report(
    (
        Check("redis", "port", "passed", 0.1),
        Check("schema", "table users", "failed", 0.2, "it is missing", structural=True),
        Check("files", "mode", "failed", 0.3, "it is 644"),
    ),
    1.23456,
)
LOST, OPEN = Failure("schema: table users", "it is missing"), Failure("files: mode", "it is 644")


def test_failures_by_what_they_stop() -> None:
    assert REPORT.failures == [LOST, OPEN]
    assert (REPORT.structural, REPORT.blocking) == ([LOST], [OPEN])
    assert (REPORT.passed, REPORT.failed) == (1, 2)


def test_it_is_plain_data() -> None:
    shown = REPORT.as_dict()
    assert (shown["passed"], shown["failed"], shown["seconds"]) == (1, 2, 1.235)
    assert [check["name"] for check in shown["checks"]] == ["port", "table users", "mode"]
