"""Waiting for a lock without stopping the application: in short tries, with time for the queue to drain in between.

Every later query on a table waits behind the session that waits for a lock on it. So no try is longer than LOCK_TRY, and an
application's statement waits no longer than that for each lock of a change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

LOCK_TRY = 0.2
"""Seconds that one try waits for a lock: the lock_timeout of every session that reads or changes."""

CONCURRENTLY = 60.0
"""Seconds that a statement with CONCURRENTLY waits for other transactions: it has a queue of nobody behind it, and what it
has begun is lost when it gives up."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.3, 2.0

Result = TypeVar("Result")


def patiently(work: Callable[[], Result], *, seconds: float, cancelled: threading.Event) -> Result:
    """Does it again while another session holds a lock that it needs; it must leave nothing behind when it fails.

    seconds: until the last try's LockNotAvailable is raised; so it is at once when the run is cancelled.
    """
    from psycopg.errors import LockNotAvailable

    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while True:
        try:
            return work()
        except LockNotAvailable:
            if time.monotonic() + pause > deadline or cancelled.wait(pause):
                raise
        pause = min(pause * 1.5, _LONGEST_PAUSE)
