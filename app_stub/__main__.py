"""`python -m app_stub --env-file .env.local`: JSON on standard output; exit code 0 when every check passed, else 1."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from app_stub import checks, environment, health


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        loaded = environment.load(options.env_file)
    except environment.EnvironmentFileError as error:
        print(json.dumps({"passed": False, "error": str(error)}))
        return 1
    if options.serve:
        return _serve(loaded, options.port)
    report = checks.run(loaded)
    print(json.dumps(report.as_dict(), indent=2))
    return 0 if report.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app_stub", description="Check that the services of an env file work for an application."
    )
    parser.add_argument(
        "--env-file", type=Path, default=Path(".env.local"), help="the env file, the only input (default: .env.local)"
    )
    parser.add_argument(
        "--serve", action="store_true", help="answer /healthz on loopback instead of running the checks once"
    )
    parser.add_argument("--port", type=int, default=8000, help="port for --serve; 0 takes any free one (default: 8000)")
    return parser


def _serve(loaded: environment.Environment, port: int) -> int:
    try:
        server = health.server(loaded, port)
    except (OSError, OverflowError) as error:
        print(json.dumps({"passed": False, "error": f"port {port}: {error}"}))
        return 1

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    print(json.dumps({"listening": f"http://{health.HOST}:{server.server_address[1]}/healthz"}), flush=True)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
