"""`circlepay verify`: runs the acceptance suite on a stack that is up and prints a report."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.operations import stack as stacks
from infra.verification.report import Check, Report
from infra.verification.runner import run as run_suite
from infra.verification.subject import Subject

if TYPE_CHECKING:
    from rich.console import Console

PASSED, FAILED = 0, 2
SUBJECT_OUTPUT = "verificationSubject"
NAMED_IN_FULL = 3
"""Number of checks with the same failure that are listed by name; a server that is down fails hundreds."""


def run(stack: str, junit: Path | None, json_output: bool) -> int:
    """Verify `stack` and print the result; returns 0 when every check passed, else 2.

    junit: where to write a JUnit report. Raises StackError for a stack that is not up and VerificationError when the
    suite could not run.
    """
    report = run_suite(subject_of(stacks.load(stack)), junit=junit)
    if json_output:
        print(json.dumps({"stack": stack, **report.as_dict()}, indent=2, ensure_ascii=False))
    else:
        from infra.operations import display

        show(display.console(), stack, report)
    return FAILED if report.failed else PASSED


def subject_of(view: stacks.StackView) -> Subject:
    """The subject of the verification from the stack's outputs, with the env file if it exists. Raises StackError."""
    value: Any = view.outputs.get(SUBJECT_OUTPUT)
    if not value:
        raise stacks.incomplete(view.stack, SUBJECT_OUTPUT)
    try:
        subject = Subject.from_json(json.loads(value) if isinstance(value, str) else value)
    except (KeyError, TypeError, ValueError):
        # The cause would quote the subject, and the subject holds passwords.
        raise stacks.incomplete(view.stack, SUBJECT_OUTPUT) from None
    return dataclasses.replace(subject, env_file=str(view.env_file) if view.env_file.exists() else None)


def show(console: Console, stack: str, report: Report) -> None:
    """Prints the report: a line per group, then each failure with what was expected, observed and what to do."""
    for group, counts in groups(report.checks).items():
        failed = counts["failed"]
        mark = "[red]✗[/red]" if failed else "[green]✓[/green]"
        tail = f"  [red]{failed} failed[/red]" if failed else ""
        console.print(f"{mark} {group:<16} {counts['passed']:>4} passed{tail}")
    for checks in same_reason(report.checks):
        _show_failure(console, checks)
    verdict = (
        f"{report.failed} of {len(report.checks)} checks failed" if report.failed else f"{report.passed} checks passed"
    )
    colour = "red" if report.failed else "green"
    console.print(f"\n[bold {colour}]{verdict}[/bold {colour}] on stack {stack} in {report.seconds:.1f} s")


def groups(checks: Iterable[Check]) -> dict[str, Counter[str]]:
    """Group -> how many of its checks passed and failed, in the order they ran."""
    counts: dict[str, Counter[str]] = {}
    for check in checks:
        counts.setdefault(check.group, Counter())[check.outcome] += 1
    return counts


def same_reason(checks: Iterable[Check]) -> list[list[Check]]:
    """The failed checks; consecutive ones with the same message are grouped."""
    failed = [check for check in checks if check.outcome != "passed"]
    return [list(same) for _, same in groupby(failed, key=lambda check: (check.group, check.message))]


def _show_failure(console: Console, checks: list[Check]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    named, more = checks[:NAMED_IN_FULL], len(checks) - NAMED_IN_FULL
    names = ", ".join(check.name for check in named) + (f" and {more} more" if more > 0 else "")
    first = checks[0]
    console.print(Text.assemble("\n", ("✗ ", "red"), (f"{first.group}: ", "bold"), names))
    message = f"{first.message}\n(only a migration can change this)" if first.structural else first.message
    console.print(Padding(Text(message), (0, 0, 0, 4), expand=False))
