"""Pulumi's runs are as short in the background as on a terminal: what the tests start can be interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.interrupts import heeded_by_children

ASK = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"


@pytest.fixture
def in_the_background() -> Iterator[None]:
    """Interrupts ignored, as a shell without job control leaves them for `pytest &`."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _child_ignores_interrupts() -> bool:
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    return done.stdout == "True\n"


def test_this_session_starts_programs_that_heed_interrupts() -> None:
    assert not _child_ignores_interrupts()


def test_programs_heed_interrupts_only_meanwhile(in_the_background: None) -> None:
    with heeded_by_children():
        assert not _child_ignores_interrupts()
    assert _child_ignores_interrupts()
