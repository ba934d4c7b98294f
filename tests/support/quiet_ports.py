"""Ports of loopback that stay free while nobody listens there."""

from __future__ import annotations

import random
import socket

QUIET = range(20_000, 30_000)
"""Below the ports that systems hand out by themselves, and away from the documented ones and those after them, which
other clones on the machine try."""


def quiet_port() -> int:
    """A free port that nobody takes by chance, also when it is free again for a while."""
    while True:
        # By UDP ports are claimed: a test's process keeps what it has once chosen.
        with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as claim:
            try:
                probe.bind(("127.0.0.1", port := random.choice(QUIET)))  # noqa: S311  (no secret)
                claim.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
