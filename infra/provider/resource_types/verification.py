"""Verification: the acceptance suite as a resource; what it found is state, a failure stops the env file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.changes import Change, Finding
from infra.errors import VerificationError
from infra.provider.handler import Converged, Handler, Operation, Property, Values

if TYPE_CHECKING:
    from infra.verification import Failure

SHOWN_FAILURES = 10
REMEDY = "\n-> "
"""What the last line of a failure's message starts with."""
LEFT_BY_UP = (
    "this `up` did not put it back: something else changes it, or keeps it from being changed; see the server's log"
)


class Verification(Handler):
    """Runs again whenever anything upstream of it was created or changed."""

    token = "circlepay:index:Verification"
    inputs = {
        "subject": Property("string", "What is looked at, as JSON: see infra.verification.Subject.", secret=True),
        "upstream": Property("array", "Revisions of everything that is verified."),
    }
    outputs = {
        "passed": Property("integer", "Checks that passed."),
        "failed": Property(
            "integer", "Checks that failed and that only a migration may settle; any other is an error."
        ),
        "blocking": Property("integer", "Failed checks that keep the env file back: 0, since one is an error."),
        "at": Property("string", "When, ISO 8601, UTC."),
    }

    def identity(self, inputs: Values) -> str:
        return "verification"

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        reason = (
            "has not run since the stack came up" if state is None else "something it looks at was created or changed"
        )
        return [Change("verification", "run", reason)]

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.provider import prepared_suite
        from infra.verification import Subject, run

        operation.progress("running the acceptance suite")
        subject = Subject.from_json(json.loads(inputs["subject"]))
        report = run(subject, cancelled=operation.cancelled, suite=prepared_suite.take())
        if report.blocking:
            raise VerificationError(
                "verify",
                f"{report.failed} of {report.failed + report.passed} checks failed",
                _listed([*report.structural, *report.blocking]),
                "the env file was not touched; `make verify` shows the whole report",
            )
        at = datetime.now(UTC).isoformat(timespec="seconds")
        outputs = {"passed": report.passed, "failed": report.failed, "blocking": 0, "at": at}
        findings = [_finding(failure) for failure in report.structural]
        return Converged(outputs, self.plan(inputs, state, operation), findings)


def _finding(failure: Failure) -> Finding:
    """Tables and columns by the names that the findings of the schema have, so that each is listed once."""
    message, _, remedy = failure.message.rpartition(REMEDY)
    kind, _, name = failure.check.removeprefix("schema: ").partition(" ")
    subject = f"{kind} public.{name}" if kind in {"table", "column"} else failure.check
    return Finding(subject, ", ".join(message.splitlines()), remedy)


def _listed(failures: list[Failure]) -> str:
    lines = [f"{check}: {_after_up(message)}" for check, message in failures[:SHOWN_FAILURES]]
    more = len(failures) - len(lines)
    return "".join(f"\n     {line}" for line in [*lines, *([f"and {more} more"] if more else [])])


def _after_up(message: str) -> str:
    """A failure as it is told at the end of an `up`, which has just mended what it can: not with «run `up`»."""
    found, _, remedy = message.rpartition(REMEDY)
    return f"{found}{REMEDY}{LEFT_BY_UP}" if "`make up`" in remedy and found else message
