"""Results as text for people: rich tables, readable in 80 columns. `--json` does not use this module."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.cells import set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from infra.changes import Effect, ShownChange, asking, describe
from infra.operations.monitor import PAIRS, Table
from infra.operations.overview import Line
from infra.operations.preview import Planned, Preview
from infra.operations.status import ServerStatus, Status
from infra.operations.summary import Summary
from infra.operations.words import words

SHOWN_CHANGES = 12
"""Changes of one resource that a summary shows; a new database has far more, and `--json` has them all."""

PAST = {"is ": "was ", "has ": "had ", "lacks ": "lacked ", "does not ": "did not ", "carries ": "carried "}
"""Beginning of a reason before the change -> after the change."""

UNWRAPPED = 100_000
"""Columns without a terminal: grep would not find a name that is wrapped over two lines."""

UNITS = ("KiB", "MiB", "GiB", "TiB")


def console() -> Console:
    """Standard output: as wide as the terminal; without a terminal no line is wrapped."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else UNWRAPPED)


def as_json(value: object) -> str:
    """Indented JSON, readable and parseable."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def overview(console: Console, found: Iterable[Line]) -> None:
    """A line for each monitoring answer, cut off where the terminal ends."""
    for server, lines in groupby(found, key=lambda line: line.server):
        console.print(f"[bold]{server}[/bold]")
        for line in lines:
            mark = "[red]![/red]" if line.attention else " "
            text = f"{mark} {line.name:<20} {escape(line.text)}"
            console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
    console.print("-> `circlepay monitor --all` shows every answer, `--query NAME` one, `--explain` how to read them")


def tables(console: Console, found: Iterable[Table], *, explain: bool) -> None:
    """Every monitoring answer; explain: with how to read it."""
    for table in found:
        console.print(f"\n[bold]{table.server} · {table.name}[/bold]  [dim]{escape(table.title)}[/dim]")
        if table.problem:
            console.print(f"  [red]{escape(table.problem)}[/red]")
            continue
        if explain and table.reading:
            console.print(f"  [italic]{escape(table.reading)}[/italic]")
        if table.rows:
            _answer(console, table)
        else:
            console.print("  [dim]nothing[/dim]")


def _answer(console: Console, table: Table) -> None:
    """A table; for a single row, or rows wider than the terminal, one line per column instead."""
    grid = _grid(table.columns, table.rows)
    fits = Measurement.get(console, console.options.update(max_width=UNWRAPPED), grid).maximum <= console.width
    if table.columns == PAIRS or (fits and len(table.rows) > 1):
        console.print(grid)
        return
    for number, row in enumerate(table.rows):
        if number:
            console.print()
        for line in _downwards(table.columns, row):
            console.print(line, soft_wrap=True)


def _downwards(columns: Sequence[str], row: Sequence[Any]) -> list[Text]:
    width = max(len(column) for column in columns)
    values = ("" if value is None else str(value) for value in row)
    named = zip(columns, values, strict=True)
    return [Text.assemble(" ", (f"{column:<{width}}", "bold cyan"), "  ", value) for column, value in named]


def _grid(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Grid:
    grid = Grid(box=None, header_style="bold cyan", pad_edge=True)
    for column in columns:
        grid.add_column(Text(column), overflow="fold")
    for row in rows:
        grid.add_row(*(Text("" if value is None else str(value)) for value in row))
    return grid


def status(console: Console, found: Status) -> None:
    """The state of a stack, problems in colour."""
    for server in found.servers:
        console.print(_server_line(server))
    env_file = found.env_file
    console.print(
        f"{_mark(not env_file.problem)} {_label('env file')} {escape(env_file.path)}{_problem(env_file.problem)}"
    )
    checks = found.verification
    if checks:
        mark = "[yellow]i[/yellow]" if checks.get("failed") else _mark(True)
        console.print(f"{mark} {_label('verified')} {_verified(checks)}")
    _drift(console, found)
    if waiting := asking(found.findings):
        listed = words("{count}; `circlepay findings` lists them", count=len(waiting))
        console.print(f"[yellow]i[/yellow] {_label('findings')} {listed}")
    if not found.well and not found.drift_problem:
        suffix = "" if found.stack == "local" else f" STACK={found.stack}"
        console.print()
        mending = (
            "-> `make up{suffix}` repairs everything that it can repair without losing data, and explains the rest"
        )
        console.print(words(mending, suffix=suffix))


def _verified(checks: Mapping[str, Any]) -> str:
    """Counts of a verification. Failed checks that did not stop the `up` are structural: only a migration resolves them."""
    failed = checks.get("failed") or 0
    passed, at = checks.get("passed", 0), checks.get("at") or words("never")
    if not failed:
        return words("{passed} passed, {at}", passed=passed, at=at)
    one, more = (
        "{passed} passed, {failed} waits for a decision, {at}",
        "{passed} passed, {failed} wait for a decision, {at}",
    )
    return words(one if failed == 1 else more, passed=passed, failed=failed, at=at)


def _label(text: str) -> str:
    """What a line is about, as wide on the screen in every language: a Korean letter takes two columns."""
    return set_cell_size(words(text), 9)


def _drift(console: Console, found: Status) -> None:
    label = _label("drift")
    if found.drift_problem:
        unknown = words("could not be checked: {problem}", problem=escape(found.drift_problem))
        console.print(f"{_mark(False)} {label} {unknown}")
    elif found.drift is None:
        console.print(f"[dim]-[/dim] {label} {words('not checked')}")
    elif not found.drift:
        console.print(f"{_mark(True)} {label} {words('none')}")
    else:
        count = words("`up` would change {count} resource(s)", count=len(found.drift))
        console.print(f"{_mark(False)} {label} {count}")
        planned(console, found.drift)


def _server_line(server: ServerStatus) -> str:
    place = f"{server.address}:{server.port}"
    if not server.authenticating:
        state = words("running, but not answering" if server.running else "down")
        return f"{_mark(False)} {server.name:<9} {place}  {state}{_problem(server.problem)}{_mishaps(server)}"
    runs_as = server.place or (f"pid {server.pid}" if server.pid else "")
    facts = [runs_as, words("up {time}", time=duration(server.uptime)), size(server.size)]
    return (
        f"{_mark(True)} {server.name:<9} {place}  {server.version}  "
        + "  ".join(fact for fact in facts if fact)
        + _mishaps(server)
    )


def _mishaps(server: ServerStatus) -> str:
    told = [words("started again {count} time(s)", count=server.restarts)] if server.restarts else []
    told += [words("something in it was killed at its memory limit")] if server.out_of_memory else []
    return "".join(f"  [yellow]{text}[/yellow]" for text in told)


def _mark(good: bool) -> str:
    return "[green]✓[/green]" if good else "[red]✗[/red]"


def _problem(text: str) -> str:
    return f" [red]({escape(words(text))})[/red]" if text else ""


def duration(seconds: int | None) -> str:
    """`3d 4h`, `5h 12m`, `7m 3s`: the two largest units."""
    if seconds is None:
        return "?"
    units = (("d", seconds // 86400), ("h", seconds // 3600 % 24), ("m", seconds // 60 % 60), ("s", seconds % 60))
    first = next((index for index, (_, count) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count}{unit}" for unit, count in units[first : first + 2])


def size(count: int | None) -> str:
    """Bytes in binary units with one decimal."""
    if count is None:
        return ""
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, len(UNITS))
    return f"{count / 1024**power:.1f} {UNITS[power - 1]}"


def preview(console: Console, found: Preview) -> None:
    """What an `up` would do, and how many findings it would leave as they are."""
    if not found.planned:
        console.print("Nothing: everything is as declared.")
    planned(console, found.planned)
    if waiting := asking(found.findings):
        console.print(f"{_counted(waiting)} {words('that `up` leaves as it is: `circlepay findings`')}")


def planned(console: Console, found: Iterable[Planned]) -> None:
    """What an `up` would do, by resource."""
    for item in found:
        console.print(f"  [bold]{item.operation}[/bold] {item.resource} [dim]({item.kind})[/dim]")
        for change in item.changes:
            console.print(f"    {escape(describe(change))}")


def _past(change: ShownChange) -> str:
    """A completed change: without its lock, which no longer matters, but with the restart that interrupted clients."""
    interrupted = " (restarted)" if change["effect"] == Effect.RESTART else ""
    reason = change["reason"]
    now, then = next(((now, then) for now, then in PAST.items() if reason.startswith(now)), ("", ""))
    return f"{change['action']} {change['subject']} — {then}{reason.removeprefix(now)}{interrupted}"


def _counted(found: Sequence[object]) -> str:
    return words("{count} finding" if len(found) == 1 else "{count} findings", count=len(found))


def findings(console: Console, found: Sequence[dict[str, str]], *, notes: bool = False) -> None:
    """Findings with cost and remedy; what consecutive findings share is printed once, after the last of them.

    notes: also those that ask for nothing, which are else only counted.
    """
    waiting = asking(found)
    if not waiting and not notes:
        console.print("No findings.")
    _listed(console, found if notes else waiting)
    if not notes and len(found) > len(waiting):
        console.print(f"{len(found) - len(waiting)} more of what is kept as documented: `circlepay findings --all`")


def _listed(console: Console, found: Sequence[dict[str, str]]) -> None:
    for remedy, same in groupby(found, key=lambda finding: finding.get("remedy", "")):
        group = list(same)
        shared = group[0].get("cost", "") if len({finding.get("cost", "") for finding in group}) == 1 else ""
        for finding in group:
            console.print(f"[bold]{escape(finding['subject'])}[/bold]: {escape(finding['problem'])}")
            if finding.get("cost") and not shared:
                _indented(console, f"cost: {finding['cost']}")
        of = f" of these {len(group)}" if len(group) > 1 else ""
        for name, text in (("cost", shared), ("remedy", remedy)):
            if text:
                _indented(console, f"{name}{of}: {text}")


def _indented(console: Console, text: str) -> None:
    console.print(Padding(Text(text), (0, 0, 0, 4), expand=False))


def summary(console: Console, found: Summary) -> None:
    """What the last run did, where everything is, and the next commands."""
    value = found.as_dict()
    heading = words("CirclePay stack {stack}", stack=found.view.stack)
    run = words("`{run}` {result} in {seconds} s", run=found.run, result=words(found.result), seconds=found.seconds)
    console.print(f"\n[bold]{heading}[/bold]: {run}\n")
    if found.reason:
        console.print(f"[red]{escape(found.reason)}[/red]\n", soft_wrap=True)
    for server in value["servers"]:
        console.print(f"  {server['name']:<9} {server['address']}:{server['port']}  {server['version']}")
        for line in _places(server):
            console.print(f"            [dim]{escape(line)}[/dim]", soft_wrap=True)
    console.print(f"  {_label('env file')} {escape(value['envFile'])}", soft_wrap=True)
    console.print(f"  {_label('verified')} {_verified(value['verification'])}")
    _done(console, found)
    for text in value["warnings"]:
        console.print(f"\n[yellow]{words('warning')}[/yellow] {escape(text)}")
    if waiting := asking(value["findings"]):
        one, more = "needs your decision: `circlepay findings`", "need your decision: `circlepay findings`"
        console.print(f"\n[yellow]{_counted(waiting)}[/yellow] {words(one if len(waiting) == 1 else more)}")
    console.print(f"\n[bold]{words('Next')}[/bold]")
    commands = Grid(box=None, show_header=False, pad_edge=True, padding=(0, 0, 0, 2))
    commands.add_column(no_wrap=True)
    commands.add_column()
    for command, purpose in value["next"].items():
        commands.add_row(Text(command), Text(words(purpose)))
    console.print(commands)


def _places(server: Mapping[str, Any]) -> list[str]:
    """What a server runs in, if that has a name, and where its data is."""
    if not server["place"]:
        return [f"{words('data')} {server['data']}"]
    return [server["place"], f"{_label('data')} {server['data']}"]


def _done(console: Console, found: Summary) -> None:
    console.print(f"\n[bold]{words('Created or changed')}[/bold]")
    if not found.done:
        nothing = "nothing: everything was as declared" if found.result == "succeeded" else "nothing"
        console.print(f"  {words(nothing)}")
    for item in found.done:
        console.print(f"  [bold]{item.resource}[/bold]")
        for change in item.changes[:SHOWN_CHANGES]:
            console.print(f"    {escape(_past(change))}")
        if len(item.changes) > SHOWN_CHANGES:
            more = words("and {count} more: `circlepay summary --json`", count=len(item.changes) - SHOWN_CHANGES)
            console.print(f"    [dim]{more}[/dim]")
