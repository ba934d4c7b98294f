"""Lines for whoever waits: on stderr, so that what is on stdout is the result and nothing else."""

from __future__ import annotations

import sys
import time

_STARTED = time.monotonic()


def say(text: str) -> None:
    """One line, with the seconds since the benchmarks began."""
    print(f"[{time.monotonic() - _STARTED:5.0f} s] {text}", file=sys.stderr, flush=True)
