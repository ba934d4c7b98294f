"""Reads a request from stdin, runs the suite on it, writes the checks to stdout as one line of JSON.

The request: {"subject": ..., "junit": path or null}. Everything slow is imported
before the request is read, so that a child that was started early only has to look.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psycopg  # noqa: F401
import pytest
import testinfra.host  # noqa: F401

from infra.verification import Subject
from tests.acceptance.plugin import Suite

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
"""Plugins that would cost time or write files; the report is made by `Suite`."""


def main() -> int:
    """Exit code of pytest: 0 passed, 1 failed checks, more when the suite is broken; 64 without a request."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints by accident does not end up in the answer
    request = sys.stdin.read()
    if not request:
        return 64
    wanted = json.loads(request)
    suite = Suite(Subject.from_json(wanted["subject"]))
    code = pytest.main(arguments(wanted["junit"]), plugins=[suite])
    answer.write(json.dumps({"checks": suite.checks}) + "\n")
    answer.close()
    return int(code)


def arguments(junit: str | None) -> list[str]:
    """pytest's arguments: no rewriting of assertions (nothing of a secret in introspection), no capture, no cache."""
    options = [
        str(FOLDER),
        "-c",
        str(FOLDER / "pytest.ini"),
        "--rootdir",
        str(FOLDER),
        "--assert=plain",
        "--capture=no",
    ]
    options += ["--import-mode=importlib", "--noconftest", "-p", "tests.acceptance.observations"]
    options += [word for name in NOT_NEEDED for word in ("-p", f"no:{name}")]
    return [*options, f"--junitxml={junit}"] if junit else [*options, "-p", "no:junitxml"]


if __name__ == "__main__":
    sys.exit(main())
