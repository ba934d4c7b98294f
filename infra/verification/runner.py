"""Runs the acceptance suite against one stack, in a child process, and returns its report.

    subject ──stdin──▶ python -m infra.verification.checks ──stdout──▶ report

A child, because pytest in the calling process would leave its state and its imports there, and because a child can
be stopped at any moment: all it does on a server is rolled back when its connection ends. The subject holds
credentials, so it travels through a pipe: nothing in argv, in the environment or in a file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from infra.errors import VerificationError
from infra.paths import PROJECT_ROOT
from infra.redaction import redact
from infra.verification.report import Check, Report
from infra.verification.subject import Subject

SUITE_MODULE = "infra.verification.checks"
TIME_LIMIT = 120.0
"""Seconds for the whole suite; it needs about one."""
POLL = 0.1
"""Seconds between two looks at a request to cancel."""
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
)
"""All that the child inherits of the environment; the rest (PGSSLMODE, PYTEST_ADDOPTS) would change the verdict."""


def prepare() -> subprocess.Popen[str]:
    """Start the child, which loads its libraries and waits for a subject.

    Worth it where a server is being started meanwhile: half of the suite's time is imports. Give it to `run`, or end
    it with `abandon`; it also ends by itself when its parent is gone.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.Popen(
        [sys.executable, "-m", SUITE_MODULE],
        cwd=PROJECT_ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def abandon(suite: subprocess.Popen[str]) -> None:
    """End a prepared child that is not needed after all."""
    suite.kill()
    suite.communicate()


def run(
    subject: Subject,
    *,
    junit: Path | None = None,
    cancelled: threading.Event | None = None,
    suite: subprocess.Popen[str] | None = None,
) -> Report:
    """Run every check against `subject`.

    junit: where to write a JUnit report; its folder is made. cancelled: set by the caller to stop it. suite: a
    child made by `prepare`. A failed check is part of the report; VerificationError means that the suite itself could
    not run to its end.
    """
    started = time.monotonic()
    if junit is not None:
        junit.resolve().parent.mkdir(parents=True, exist_ok=True)
    child = suite or prepare()
    request = {"subject": subject.reached().to_json(), "junit": str(junit.resolve()) if junit else None}
    secrets = tuple(subject.secrets().values())
    output, errors = _converse(child, json.dumps(request), started + TIME_LIMIT, cancelled or threading.Event())
    answer = _parse(output)
    if answer is None:
        last_lines = " | ".join(redact(errors, secrets).strip().splitlines()[-3:])
        raise VerificationError(
            "verify",
            SUITE_MODULE,
            f"the suite ended with exit code {child.returncode} and without a report: {last_lines or 'no message'}",
            "run `make verify` again; if this persists, `python -m infra.verification.checks < /dev/null` shows whether it loads",
        )
    checks = tuple(Check(**{**check, "message": redact(check["message"], secrets)}) for check in answer)
    return Report(checks, time.monotonic() - started)


def _converse(
    child: subprocess.Popen[str], request: str, deadline: float, cancelled: threading.Event
) -> tuple[str, str]:
    """What the child wrote to stdout and stderr after it read `request`; ends it when cancelled or too late."""
    to_send: str | None = request
    while True:
        try:
            return child.communicate(to_send, timeout=POLL)
        except subprocess.TimeoutExpired:
            to_send = None
        if cancelled.is_set():
            abandon(child)
            raise VerificationError("verify", SUITE_MODULE, "was cancelled", "run `make verify` again")
        if time.monotonic() > deadline:
            abandon(child)
            raise VerificationError(
                "verify",
                SUITE_MODULE,
                f"did not end within {TIME_LIMIT:.0f} s",
                "check whether a server is overloaded or hangs",
            )


def _parse(output: str) -> list[dict[str, Any]] | None:
    """The checks on the child's last line, or None when it wrote something else."""
    lines = output.strip().splitlines()
    try:
        checks: list[dict[str, Any]] = json.loads(lines[-1])["checks"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return checks or None
