"""Reads a request from stdin, runs the suite on it, writes the checks to stdout as one line of JSON.

The request: {"subject": ..., "junit": path or null}. Slow modules are imported before the request is read, so that a
child that was started early only has to run the checks.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import psycopg  # noqa: F401
import pytest
import testinfra.host  # noqa: F401

from infra.verification.checks.plugin import Suite
from infra.verification.subject import Subject

FOLDER = Path(__file__).resolve().parent
NOT_NEEDED = (
    "cacheprovider",
    "debugging",
    "doctest",
    "faulthandler",
    "legacypath",
    "logging",
    "pastebin",
    "setuponly",
    "setupplan",
    "stepwise",
    "subtests",
    "terminal",
    "threadexception",
    "tmpdir",
    "unittest",
    "unraisableexception",
    "warnings",
)
"""pytest plugins that would cost time or write files; `Suite` collects the report."""


def main() -> int:
    """Exit code of pytest: 0 passed, 1 failed checks, higher when the suite could not run; 64 without a request."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # other output goes to stderr and cannot corrupt the answer
    request = sys.stdin.read()
    if not request:
        return 64
    wanted = json.loads(request)
    suite = Suite(Subject.from_json(wanted["subject"]))
    code = pytest.main(arguments(wanted["junit"], suite.subject.check_folders), plugins=[suite])
    answer.write(json.dumps({"checks": suite.checks}) + "\n")
    answer.close()
    return int(code)


def arguments(junit: str | None, more: Iterable[str] = ()) -> list[str]:
    """pytest's arguments: no assertion rewriting (its introspection could print secrets), no capture, no cache.

    junit: path of the report. more: folders of further checks. Relative to where this runs, the project's root: in what is
    asked for, pytest takes a bracket in a path for the name of a case.
    """
    options = [
        *(os.path.relpath(folder) for folder in (str(FOLDER), *more)),
        "-c",
        str(FOLDER / "pytest.ini"),
        "--rootdir",
        str(FOLDER),
        "--assert=plain",
        "--capture=no",
    ]
    options += ["--import-mode=importlib", "--noconftest", "-p", "infra.verification.checks.observations"]
    options += [word for name in NOT_NEEDED for word in ("-p", f"no:{name}")]
    return [*options, f"--junitxml={junit}"] if junit else [*options, "-p", "no:junitxml"]


if __name__ == "__main__":
    sys.exit(main())
