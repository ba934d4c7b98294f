"""The pytest plugin of a run: passes the subject to the fixtures and collects the results of the checks."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from infra.redaction import redact
from infra.verification.checks.expectation import MismatchError
from infra.verification.subject import Subject

STRUCTURAL_SQLSTATES = frozenset({"42P01", "42703"})
"""undefined_table, undefined_column: a check that fails with one of them has found structural drift."""


class Suite:
    """One run on one subject. checks: a dictionary per finished check, see infra.verification.report.Check."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.checks: list[dict[str, Any]] = []
        self._secrets = tuple(subject.secrets().values())

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make this object available to fixtures and parametrization."""
        config.stash[SUITE] = self

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Skip the checks of the env file before the first one is published."""
        return (collection_path.name == "test_env_file.py" and self.subject.env_file is None) or None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One check per declared setting, so that each has its own line; a target's own checks, for each of its servers."""
        for fixture, server in (("postgres_parameter", self.subject.postgres), ("redis_parameter", self.subject.redis)):
            if fixture in metafunc.fixturenames:
                metafunc.parametrize(fixture, sorted(server.parameters))
        of_target = self.subject.check_folders.get(str(metafunc.definition.path.parent))
        if of_target is not None:
            metafunc.parametrize("server", of_target)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out checks that are marked `on_shared_machine` for servers with a machine of their own."""
        items[:] = [item for item in items if _shared_machine_server(item) not in self.subject.isolated]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Replace the traceback by a message without secrets, before any other plugin sees it."""
        report = yield
        if report.skipped:
            # Its table or column is missing, which is a failed check of its own.
            return report
        if call.excinfo is not None:
            report.longrepr = redact(_message(call.excinfo.value), self._secrets)
        if report.when == "call" or report.failed:
            self.checks.append(_check(item, report, call))
        return report


SUITE = pytest.StashKey[Suite]()
LOCK_NOT_AVAILABLE = "55P03"
"""SQLSTATE of what has waited for a lock in vain."""


def _shared_machine_server(item: pytest.Item) -> str:
    """The server of a check marked `on_shared_machine`; empty for every other check."""
    mark = item.get_closest_marker("on_shared_machine")
    if mark is None:
        return ""
    return str(mark.args[0] if mark.args else item.callspec.params["server"])  # type: ignore[attr-defined]


def _message(error: BaseException) -> str:
    if isinstance(error, MismatchError):
        return str(error)
    observed = " ".join(f"{type(error).__name__}: {error}".split())
    hint = "check that the server is up: `circlepay status`"
    if getattr(error, "sqlstate", "") == LOCK_NOT_AVAILABLE:
        hint = (
            "another session holds a lock, which `circlepay monitor` shows: let it finish, or end it, then verify again"
        )
    return f"expected: the check runs without an error\nobserved: {observed}\n-> {hint}"


def _check(item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[None]) -> dict[str, Any]:
    """The finished check as plain data; its name is the test's name in words."""
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
