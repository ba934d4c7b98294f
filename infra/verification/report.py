"""What the acceptance suite found, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Failure(NamedTuple):
    """A check that did not pass.

    check: `group: name`. message: what was expected, what was observed, what to do; without secrets.
    """

    check: str
    message: str


@dataclass(frozen=True)
class Check:
    """One check of the suite.

    outcome: passed or failed. seconds: how long it took. structural: it failed over something only a migration may
    repair (a missing column, another type), which `up` reports and leaves.
    """

    group: str
    name: str
    outcome: str
    seconds: float
    message: str = ""
    structural: bool = False


@dataclass(frozen=True)
class Report:
    """What the suite found. seconds: wall clock of the whole run, the child's start included."""

    checks: tuple[Check, ...]
    seconds: float

    @property
    def failures(self) -> list[Failure]:
        """Every check that did not pass, in the order they ran."""
        return [_failure(check) for check in self.checks if check.outcome != "passed"]

    @property
    def structural(self) -> list[Failure]:
        """Failures that only a migration may repair."""
        return [_failure(check) for check in self.checks if check.outcome != "passed" and check.structural]

    @property
    def blocking(self) -> list[Failure]:
        """Failures that keep the env file from being published: all but the structural ones."""
        return [_failure(check) for check in self.checks if check.outcome != "passed" and not check.structural]

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return len(self.checks) - len(self.failures)

    @property
    def failed(self) -> int:
        """How many did not."""
        return len(self.failures)

    def as_dict(self) -> dict[str, Any]:
        """The report for `--json`: every check with its group, outcome, time and message."""
        return {
            "passed": self.passed,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "checks": [asdict(check) for check in self.checks],
        }


def _failure(check: Check) -> Failure:
    return Failure(f"{check.group}: {check.name}", check.message)
