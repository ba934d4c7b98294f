"""(b) A cold `up`: no state, no data, nothing running. Against the commands alone, and the `up` of a program that is empty."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench import programs
from tests.bench.by_hand import Machine
from tests.bench.pairs import compared, interleaved, timed
from tests.bench.report import Report
from tests.support.clones import Clone
from tests.support.quiet_ports import quiet_port

BARE, VERIFIED = "cold up, verification off", "cold up, verified"
BY_HAND, EMPTY = "initdb, start, psql, Redis by hand", "up of an empty program"
REFERENCE = "by hand, and an empty program's up"


def measure(folder: Path, rounds: int, report: Report) -> None:
    """Adds both comparisons to the report: with the verification and without."""
    machine = Machine.make(folder / "by-hand")
    sides = {
        BARE: lambda: _cold_up(folder, verify=False),
        BY_HAND: lambda: _by_hand(machine),
        EMPTY: lambda: empty_up(folder),
        VERIFIED: lambda: _cold_up(folder, verify=True),
    }
    measured = interleaved(sides, rounds)
    reference = [by_hand + empty for by_hand, empty in zip(measured[BY_HAND], measured[EMPTY], strict=True)]
    report.add(
        measured,
        compared(BARE, measured[BARE], REFERENCE, reference, aim=1.5),
        compared(VERIFIED, measured[VERIFIED], REFERENCE, reference, aim=2.0),
    )


def fresh_clone(folder: Path, *, verify: bool = True) -> Clone:
    """A clone that was never brought up, with its modules compiled as those of the environment are.

    Its ports are given: the documented ones are what every other stack of the machine tries first.
    """
    ports = {f"circlepay:{server}": {"port": quiet_port()} for server in ("postgres", "redis")}
    clone = Clone.make(folder, config={"circlepay:verify": verify, **ports})
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "infra", "infra/verification/checks"], cwd=clone.root, check=True
    )
    return clone


def _cold_up(folder: Path, *, verify: bool) -> float:
    clone = fresh_clone(folder, verify=verify)
    try:
        return timed(lambda: clone.up().expect())
    finally:
        clone.end()


def _by_hand(machine: Machine) -> float:
    machine.prepare()
    try:
        return timed(machine.bring_up)
    finally:
        machine.stop()


def empty_up(folder: Path) -> float:
    """Seconds of the first `up` of a program that declares nothing."""
    program = programs.program("empty", folder)
    return timed(lambda: programs.bring_up(program))
