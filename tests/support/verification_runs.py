"""Many runs of the suite for the price of one start: each is a fork of a child that has loaded its libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from infra.paths import PROJECT_ROOT
from infra.verification.report import Check, Report
from infra.verification.subject import Subject

MODULE = "tests.support.verification_runs"


class Runs:
    """A child that runs the suite as often as it is asked to; end it with close()."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            cwd=PROJECT_ROOT,
            env={"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, subject: Subject) -> Report:
        """What infra.verification.runner.run would report."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        request = {"subject": subject.to_json(), "junit": None}
        self._child.stdin.write(json.dumps(request) + "\n")
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        return Report(tuple(Check(**check) for check in answer["checks"]), 0.0)

    def close(self) -> None:
        """End the child."""
        self._child.communicate()


def serve() -> None:
    """One request a line on stdin, one line of checks on stdout, until stdin ends."""
    import docker  # noqa: F401 - the suite itself loads it late, for servers in containers only

    from infra.verification.checks.__main__ import main

    for line in sys.stdin:
        request, feed = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(feed)
            os.dup2(request, 0)
            sys.stdin = os.fdopen(0, encoding="utf-8")
            os._exit(main())
        os.close(request)
        with os.fdopen(feed, "w", encoding="utf-8") as pipe:
            pipe.write(line)
        os.waitpid(process, 0)


if __name__ == "__main__":
    serve()
