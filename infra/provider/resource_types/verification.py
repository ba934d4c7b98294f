"""Verification: the acceptance suite as a resource; its result is state, and a failure keeps the env file unpublished."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.changes import Change, Finding
from infra.errors import VerificationError
from infra.provider.handler import Converged, Handler, Operation, Property, Values

if TYPE_CHECKING:
    from infra.verification.report import Failure

SHOWN_FAILURES = 10
REMEDY = "\n-> "
"""The beginning of the last line of a failure's message."""
NOT_REPAIRED = (
    "this `up` could not restore it: something else changes it, or prevents the change; check the server's log"
)


class Verification(Handler):
    """Runs again whenever anything upstream of it was created or changed."""

    token = "circlepay:index:Verification"
    inputs = {
        "subject": Property(
            "string", "The stack to verify, as JSON: see infra.verification.subject.Subject.", secret=True
        ),
        "upstream": Property("array", "Revisions of everything that is verified."),
    }
    outputs = {
        "passed": Property("integer", "Checks that passed."),
        "failed": Property(
            "integer", "Failed checks that only a migration may resolve; any other failed check is an error."
        ),
        "blocking": Property("integer", "Failed checks that block the env file: always 0, since one is an error."),
        "at": Property("string", "When, ISO 8601, UTC."),
    }

    def identity(self, inputs: Values) -> str:
        return "verification"

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        reason = (
            "has not run since the stack was brought up"
            if state is None
            else "a verified resource was created or changed"
        )
        return [Change("verification", "run", reason)]

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.provider import prepared_suite
        from infra.verification.runner import run
        from infra.verification.subject import Subject

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
    """Tables and columns are named as in the findings of the schema, so that each is listed once."""
    message, _, remedy = failure.message.rpartition(REMEDY)
    kind, _, name = failure.check.removeprefix("schema: ").partition(" ")
    subject = f"{kind} public.{name}" if kind in {"table", "column"} else failure.check
    return Finding(subject, ", ".join(message.splitlines()), remedy)


def _listed(failures: list[Failure]) -> str:
    lines = [f"{check}: {_after_up(message)}" for check, message in failures[:SHOWN_FAILURES]]
    more = len(failures) - len(lines)
    return "".join(f"\n     {line}" for line in [*lines, *([f"and {more} more"] if more else [])])


def _after_up(message: str) -> str:
    """The message at the end of an `up`, which has just repaired what it can: without the remedy «run `make up`»."""
    found, _, remedy = message.rpartition(REMEDY)
    return f"{found}{REMEDY}{NOT_REPAIRED}" if "`make up`" in remedy and found else message
