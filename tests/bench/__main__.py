"""`python -m tests.bench`: ratios, measured here and now. Aims are shown beside what was reached, and never asserted."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    ansible_peer,
    cold,
    cold_containers,
    machine_facts,
    objects,
    refreshed,
    refreshed_containers,
    round_trips,
)
from tests.bench.pairs import PAIRS
from tests.bench.progress import say
from tests.bench.report import Report
from tests.support.interrupts import heeded_by_children

PARTS = ("a", "b", "c", "ansible", "d", "e", "f")


def main() -> None:
    """Measures what was asked for, and prints the report to stdout."""
    arguments = _parse()
    # Where nothing may be compiled, every start of Python costs a second: both sides, and everybody's real runs, have bytecode.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.umask(0o022)
    if arguments.install_ansible:
        ansible_peer.install()
    report = Report(machine_facts.facts())
    with heeded_by_children(), tempfile.TemporaryDirectory(prefix="circlepay-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        for part, (title, measure) in _parts(folder, arguments.pairs, report, arguments.only).items():
            say(f"({part}) {title}")
            _measured_or_noted(part, measure, report)
    print(json.dumps(report.as_dict(), indent=2) if arguments.json else report.as_text())
    if report.failed:
        sys.exit(1)


def _measured_or_noted(part: str, measure: Callable[[], None], report: Report) -> None:
    """A part that cannot be measured does not take with it what the others took minutes to find."""
    try:
        measure()
    except Exception as error:
        traceback.print_exc()
        report.failed.append(part)
        report.notes.append(f"({part}) was not measured: {type(error).__name__}, see standard error.")


def _parts(folder: Path, rounds: int, report: Report, only: list[str]) -> dict[str, tuple[str, Callable[[], None]]]:
    """What to do, by the letters it answers to. Ansible runs in the same rounds as (c), where both are asked for."""
    both = {"c", "ansible"} <= set(only)
    parts: dict[str, tuple[str, Callable[[], None]]] = {
        "a": ("the objects, in-process and by psql", lambda: objects.measure(folder / "a", rounds, report)),
        "b": ("a cold up", lambda: cold.measure(folder / "b", rounds, report)),
        "c": (
            "a refreshed up that finds nothing",
            lambda: refreshed.measure(folder / "c", rounds, report, ansible=both),
        ),
        "ansible": (
            "the same against Ansible",
            lambda: refreshed.measure(folder / "ansible", rounds, report, pulumi=False),
        ),
        "d": ("round trips of reading everything", lambda: round_trips.measure(folder / "d", report)),
        "e": ("a cold up on containers", lambda: cold_containers.measure(folder / "e", rounds, report)),
        "f": (
            "a refreshed up on containers that finds nothing",
            lambda: refreshed_containers.measure(folder / "f", rounds, report),
        ),
    }
    if both:
        del parts["ansible"]
    chosen = {letter: part for letter, part in parts.items() if letter in only}
    for letter in chosen:
        (folder / letter).mkdir()
    return chosen


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="the report as JSON, every round of it")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be given several times")
    parser.add_argument(
        "--install-ansible", action="store_true", help="first install Ansible, 300 MB in .circlepay/bench"
    )
    parser.add_argument("--pairs", type=int, default=PAIRS, metavar="N", help=f"counted rounds, at least 1 ({PAIRS})")
    arguments = parser.parse_args()
    arguments.only = arguments.only or list(PARTS)
    if arguments.pairs < 1:
        parser.error("--pairs must be at least 1")
    return arguments


if __name__ == "__main__":
    main()
