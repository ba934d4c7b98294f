"""The result: one table of ratios, what they were made of, and the machine; as text that a README can show, or as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.pairs import Comparison, Measured


@dataclass(frozen=True)
class ReadCount:
    """What reading all facts of one server took.

    round_trips: with questions, each with everything that is asked in one go. alive: those that prove beforehand that the server
    lives. connections: how often it was connected to, for both. aim: the round trips that were aimed at.
    """

    server: str
    round_trips: int
    alive: int
    connections: int
    aim: int = 1

    @property
    def met(self) -> bool:
        """Whether the aim was reached."""
        return self.round_trips <= self.aim


@dataclass
class Report:
    """Everything one run of the benchmarks found."""

    machine: Mapping[str, str]
    comparisons: list[Comparison] = field(default_factory=list)
    counts: list[ReadCount] = field(default_factory=list)
    measured: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, measured: Measured, *comparisons: Comparison) -> None:
        """What was measured, and the comparisons made of it."""
        self.measured.update({name: list(seconds) for name, seconds in measured.items()})
        self.comparisons += comparisons

    def note(self, text: str) -> None:
        """A line below the tables, once, however many parts say it."""
        if text not in self.notes:
            self.notes.append(text)

    def as_dict(self) -> dict[str, object]:
        """For `--json`: seconds everywhere, every single round included."""
        return {
            "machine": dict(self.machine),
            "comparisons": [comparison.as_dict() for comparison in self.comparisons],
            "round_trips": [{**vars(count), "met": count.met} for count in self.counts],
            "seconds": self.measured,
            "notes": self.notes,
            "failed": self.failed,
        }

    def as_text(self) -> str:
        """The tables as Markdown, aligned for a terminal."""
        parts = []
        if self.comparisons:
            parts.append(
                _table(("what", "ours", "against", "its time", "ratio", "aim", "met"), map(_row, self.comparisons))
            )
        if self.counts:
            header = ("reading all facts of", "round trips", "aim", "met", "to see that it lives", "connections")
            parts.append(_table(header, map(_count_row, self.counts)))
        if self.measured:
            rows = ((name, _range(seconds), str(len(seconds))) for name, seconds in self.measured.items())
            parts.append(_table(("seconds", "median (least to most)", "rounds"), rows))
        parts.append("Measured on: " + "; ".join(f"{name} {value}" for name, value in self.machine.items()) + ".")
        parts += self.notes
        return "\n\n".join(parts)


def _row(item: Comparison) -> tuple[str, ...]:
    words = "times faster" if item.faster else "times as long"
    ratio = f"{item.ratio:.2f} {words} ({item.lowest:.2f} to {item.highest:.2f})"
    row = item.name, f"{item.ours:.3f} s", item.against, f"{item.reference:.3f} s", ratio
    if item.aim is None:
        return *row, "none", ""
    return *row, f"at {'least' if item.faster else 'most'} {item.aim:g}", "yes" if item.met else "no"


def _count_row(item: ReadCount) -> tuple[str, ...]:
    met = "yes" if item.met else "no"
    return item.server, str(item.round_trips), str(item.aim), met, str(item.alive), str(item.connections)


def _range(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    shown = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(shown)
