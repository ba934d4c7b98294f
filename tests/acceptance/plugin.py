"""The pytest plugin of a run: hands the subject to the fixtures and collects what the checks found."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from infra.verification import Subject, redact
from tests.acceptance.expectation import MismatchError

STRUCTURAL_SQLSTATES = frozenset({"42P01", "42703"})
"""undefined_table, undefined_column: a check that ran into them met structural drift, whatever it wanted to see."""


class Suite:
    """One run on one subject. checks: a dictionary per finished check, see infra.verification.Check."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.checks: list[dict[str, Any]] = []
        self._secrets = tuple(subject.secrets().values())

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make this object reachable for fixtures and for parametrization."""
        config.stash[SUITE] = self

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """No env file, no checks of it: before the first one is published there is nothing to be wrong."""
        absent = {"test_env_file.py": self.subject.env_file is None, "test_containers.py": not self.subject.contained}
        return absent.get(collection_path.name) or None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One check per declared setting, so that each has its own line in the report."""
        for fixture, server in (("postgres_parameter", self.subject.postgres), ("redis_parameter", self.subject.redis)):
            if fixture in metafunc.fixturenames:
                metafunc.parametrize(fixture, sorted(server.parameters))
        if metafunc.module.__name__.endswith("test_containers"):
            metafunc.parametrize("server", self.subject.contained)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what another check says better of a server in a container."""
        items[:] = [item for item in items if _place(item) not in self.subject.contained]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Replace the traceback by a message without secrets, before anything else gets to see it."""
        report = yield
        if report.skipped:
            # Nothing it could be tried on is there, which is a failed check of its own.
            return report
        if call.excinfo is not None:
            report.longrepr = redact(_message(call.excinfo.value), self._secrets)
        if report.when == "call" or report.failed:
            self.checks.append(_check(item, report, call))
        return report


SUITE = pytest.StashKey[Suite]()


def _place(item: pytest.Item) -> str:
    """The server that a check marked `without_container` is about; empty for a check of any place."""
    mark = item.get_closest_marker("without_container")
    if mark is None:
        return ""
    return str(mark.args[0] if mark.args else item.callspec.params["server"])  # type: ignore[attr-defined]


def _message(error: BaseException) -> str:
    if isinstance(error, MismatchError):
        return str(error)
    observed = " ".join(f"{type(error).__name__}: {error}".split())
    return f"expected: this works\nobserved: {observed}\n-> see whether the server is up: `circlepay status`"


def _check(item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[None]) -> dict[str, Any]:
    """The finished check as plain data; its name is the test's, read as words."""
    function, _, parameter = item.name.partition("[")
    words = function.removeprefix("test_").replace("_", " ")
    error = call.excinfo.value if call.excinfo else None
    return {
        "group": item.path.stem.removeprefix("test_").replace("_", " "),
        "name": f"{words} {parameter.removesuffix(']')}".strip(),
        "outcome": "passed" if report.passed else "failed",
        "seconds": round(report.duration, 4),
        "message": str(report.longrepr) if report.longrepr else "",
        "structural": getattr(error, "structural", False) or getattr(error, "sqlstate", None) in STRUCTURAL_SQLSTATES,
    }
