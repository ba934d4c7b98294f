"""Children that heed an interrupt, whatever started the tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heeded_by_children() -> Iterator[None]:
    """Programs started meanwhile heed an interrupt (SIGINT), although this process was told to ignore it.

    A shell without job control starts `pytest &` with interrupts ignored, and every program below inherits that. Pulumi
    ends its first language host of a run by an interrupt, and waits 5 s before it kills one that ignores it. Python
    gives an ignored signal no handler; one that has a handler is at its default in a program started from here.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
