"""What a person sees fits 80 columns, shows every part, and never takes a value for markup."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from infra.operations import display, overview
from infra.operations.monitor import Table
from infra.operations.preview import Planned
from infra.operations.stack import StackView
from infra.operations.status import EnvFileStatus, ServerStatus, Status
from infra.operations.summary import Done, Summary
from infra.targets import target
from infra.targets.location import Location
from tests.support.locations import container_location
from tests.unit.operations.conftest import FINDING, server_outputs
from tests.unit.operations.test_preview import CHANGE

UP = ServerStatus("postgres", "127.0.0.1", 5432, True, True, "18.6", 17, 3725, 8_000_000)
DOWN = ServerStatus("redis", "127.0.0.1", 6379, False, False, problem="nothing is listening there")
FILE = EnvFileStatus("/home/me/[odd]/.env.local", exists=True, mode="0600", current=True)
VERIFIED = {"passed": 120, "failed": 0, "at": "2026-01-02T03:04:05+00:00"}


def shown(show: Any, *arguments: Any, width: int = 80, **options: Any) -> str:
    stream = StringIO()
    show(Console(file=stream, width=width, highlight=False), *arguments, **options)
    return stream.getvalue()


def test_tables_show_rows_problems_and_nothing() -> None:
    text = shown(
        display.tables,
        [
            Table("postgres", "sizes", "Sizes", ("table", "[bytes]"), (("users", 1), ("[red]odd[/red]", None))),
            Table("redis", "connection", "Connection", problem="refused [Errno 111]"),
            Table("postgres", "slots", "Slots", ("name",), (), reading="No rows: no slots."),
        ],
        explain=True,
    )
    for expected in ("users", "[red]odd[/red]", "[bytes]", "refused [Errno 111]", "nothing", "No rows: no slots."):
        assert expected in text


@pytest.mark.parametrize("width", [80, 120])
def test_an_overview_is_a_line_for_each_answer_at_every_width(width: int) -> None:
    sessions = {"sessions_in_all": 90, "usable_connections": 97, "percent_of_limit": 92.8}
    tables = [
        Table("postgres", "connections", "", tuple(sessions), (tuple(sessions.values()),)),
        Table("postgres", "blocked_sessions", ""),
        Table("postgres", "own_query", "", ("a",), ((1,), (2,))),
        Table("redis", "connection", "", problem="[refused] " + "x" * 200),
        Table("redis", "dbsize", "", ("keys",), ((7,),)),
    ]
    lines = shown(display.overview, overview.lines(tables), width=width).splitlines()
    assert lines[:4] == [
        "postgres",
        "! connections          90 of 97 (92.8 %)",
        "  blocked_sessions     nothing",
        "  own_query            2 rows",
    ]
    assert lines[4:7:2] == ["redis", "  dbsize               7 keys"]
    assert lines[5].startswith("! connection           [refused] xxx")
    assert max(map(len, lines[:7])) <= width


def test_reading_is_only_shown_where_asked() -> None:
    table = Table("postgres", "sizes", "Sizes", ("a",), ((1,),), reading="Read me.")
    assert "Read me." not in shown(display.tables, [table], explain=False)


def test_status_that_is_well() -> None:
    text = shown(display.status, Status("local", (UP,), FILE, (), VERIFIED))
    for expected in (
        "✓ postgres",
        "127.0.0.1:5432",
        "18.6",
        "pid 17",
        "up 1h 2m",
        "7.6 MiB",
        "[odd]",
        "drift     none",
    ):
        assert expected in text
    assert "make up" not in text


CONTAINER = container_location("redis", 6379)
FAR = container_location("redis", 6379, "ssh://deploy@db1?config=/home/me/ssh")


@pytest.mark.parametrize(
    ("location", "expected"),
    [(CONTAINER, "container redis-circlepay  up"), (FAR, "redis-circlepay on ssh://deploy@db1  up")],
)
def test_status_of_a_container_names_it(location: Location, expected: str) -> None:
    place, _ = target.load("docker").describe(location)
    server = ServerStatus("redis", "127.0.0.1", 6379, True, True, "7.0.15", uptime=5, place=place)
    text = shown(display.status, Status("dev", (server,), FILE, (), VERIFIED), width=200)
    assert expected in text
    assert "pid" not in text


def test_status_tells_what_befell_a_server() -> None:
    server = replace(UP, restarts=3, out_of_memory=True)
    text = shown(display.status, Status("dev", (server,), FILE, (), VERIFIED), width=200)
    assert "started again 3 time(s)  something in it was killed at its memory limit" in text
    quiet = replace(UP, restarts=0, out_of_memory=False)
    assert "again" not in shown(display.status, Status("dev", (quiet,), FILE, (), VERIFIED), width=200)


def test_summary_of_containers_names_them_and_their_volumes(view: StackView, outputs: dict[str, Any]) -> None:
    outputs["redis"] = server_outputs(CONTAINER, version="7.0", programs="")
    text = shown(display.summary, Summary(view, "up", "succeeded", 1, ()))
    assert "container redis-circlepay\n" in text
    assert "data      volume redis_data\n" in text
    assert "/data\n" not in text.replace(str(outputs["postgres"]["dataPath"]), "")


def test_status_that_is_not_well_says_what_to_type() -> None:
    drift = (Planned("schema", "Schema", "update", (CHANGE,)),)
    text = shown(display.status, Status("dev", (DOWN,), FILE, drift, {}, (FINDING,)))
    for expected in (
        "✗ redis",
        "down (nothing is listening there)",
        "update schema",
        "is missing",
        "findings  1",
        "make up STACK=dev",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("drift", "problem", "expected"),
    [(None, "", "not checked"), (None, "no pulumi [here]", "could not be checked: no pulumi [here]")],
)
def test_status_without_drift_says_so(drift: None, problem: str, expected: str) -> None:
    assert expected in shown(display.status, Status("local", (UP,), FILE, drift, VERIFIED, drift_problem=problem))


def test_server_that_refuses_the_credentials_is_not_down() -> None:
    server = ServerStatus("redis", "h", 1, True, False, problem="WRONGPASS")
    assert "running, but not answering (WRONGPASS)" in shown(display.status, Status("local", (server,), FILE, None, {}))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0, "0s"), (59, "59s"), (60, "1m 0s"), (3725, "1h 2m"), (90_061, "1d 1h"), (864_000, "10d 0h")],
)
def test_duration(seconds: int | None, text: str) -> None:
    assert display.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (8_000_000, "7.6 MiB"), (2**50, "1024.0 TiB")],
)
def test_size(count: int | None, text: str) -> None:
    assert display.size(count) == text


def _summary(view: StackView, *done: Done) -> Summary:
    return Summary(view, "up", "succeeded", 7, done)


def test_summary_shows_where_what_why_and_next(view: StackView, outputs: dict[str, Any]) -> None:
    text = shown(display.summary, _summary(view, Done("schema", "create", (CHANGE,))))
    plain = " ".join(text.split())
    for expected in (
        "`up` succeeded in 7 s",
        f"postgres 127.0.0.1:{outputs['postgres']['port']} 18.6",
        f"redis 127.0.0.1:{outputs['redis']['port']} 9.1.0",
        "120 passed, 2026-01-02",
        "schema create index public.idx_users_email — was missing",
        "1 finding",
        "make verify STACK=test",
    ):
        assert expected in plain
    assert outputs["envFile"] in text


def test_summary_fits_80_columns_but_for_paths(view: StackView) -> None:
    text = shown(display.summary, _summary(view, Done("schema", "create", (CHANGE,) * 3)))
    assert [line for line in text.splitlines() if len(line) > 80 and "/" not in line] == []


def test_summary_of_a_run_that_changed_nothing(view: StackView) -> None:
    assert "nothing: everything was as declared" in shown(display.summary, _summary(view))


def test_summary_does_not_drown_in_changes(view: StackView) -> None:
    text = shown(display.summary, _summary(view, Done("schema", "create", (CHANGE,) * 90)))
    assert f"and {90 - display.SHOWN_CHANGES} more" in text
    assert text.count("was missing") == display.SHOWN_CHANGES


def test_findings_show_cost_and_remedy() -> None:
    text = shown(display.findings, [FINDING])
    for value in FINDING.values():
        assert value in text
    assert "No findings." in shown(display.findings, [])


def test_json_is_readable_and_keeps_every_letter() -> None:
    assert display.as_json({"ä": 1}) == '{\n  "ä": 1\n}'


LONG = "public.a_name_of_more_than_forty_characters_in_all"


def test_names_are_never_broken() -> None:
    rows = tuple((f"{LONG}_{number}", LONG, LONG) for number in range(3))
    table = Table("postgres", "sizes", "Sizes", ("a", "b", "c"), rows)
    for width in (80, display.UNWRAPPED):
        text = shown(display.tables, [table], width=width, explain=False)
        assert text.count(LONG) == 9
        assert f"{LONG}_2" in text


def test_row_stays_one_line_where_nobody_looks() -> None:
    table = Table("postgres", "sizes", "Sizes", ("a", "b"), ((LONG * 4, LONG), ("x", LONG)))
    text = shown(display.tables, [table], width=display.UNWRAPPED, explain=False)
    assert [line for line in text.splitlines() if LONG * 4 in line and line.rstrip().endswith(LONG)]


def test_one_row_is_written_downwards() -> None:
    table = Table("postgres", "database_health", "Health", ("database", "is_replica"), (("circlepay_db", False),))
    text = shown(display.tables, [table], explain=False)
    assert " database    circlepay_db\n is_replica  False\n" in text


def test_standard_output_that_is_no_terminal_is_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    display.findings(display.console(), [FINDING | {"problem": "a long sentence, " * 40}])
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_findings_say_once_what_they_share() -> None:
    found = [
        FINDING | {"subject": "index a"},
        FINDING | {"subject": "index b", "cost": "16 kB"},
        FINDING | {"subject": "column c", "remedy": "widen it", "cost": "none"},
        FINDING | {"subject": "column d", "remedy": "widen it", "cost": "none"},
    ]
    text = shown(display.findings, found)
    assert text.count("drop it") == text.count("widen it") == text.count("cost of these 2: none") == 1
    assert "remedy of these 2: drop it" in text
    assert [subject in text for subject in ("index a", "index b", "column c", "column d", "8 kB", "16 kB")] == [
        True
    ] * 6


def test_checks_that_wait_for_a_decision_are_no_failure() -> None:
    checks = {"passed": 359, "failed": 1, "at": "now"}
    text = shown(display.status, Status("local", (UP,), FILE, (), checks))
    assert "i verified  359 passed, 1 waits for a decision, now" in text
    assert "✗" not in text
    assert "make up" not in text


def test_drift_that_cannot_be_looked_for_is_not_mended_by_an_up() -> None:
    text = shown(display.status, Status("local", (UP,), FILE, None, VERIFIED, drift_problem="a wrong setting"))
    assert "a wrong setting" in text
    assert "make up" not in text


def test_summary_of_a_run_that_failed_says_why(view: StackView) -> None:
    text = shown(display.summary, Summary(view, "up", "failed", 2, (), "port 5432 [tcp] is taken"))
    assert "port 5432 [tcp] is taken" in text
    assert "as declared" not in text


def test_summary_repeats_the_warnings(view: StackView, outputs: dict[str, Any]) -> None:
    outputs["warnings"] = ["circlepay:verify [odd] is false"]
    assert "warning circlepay:verify [odd] is false" in shown(display.summary, _summary(view))


def test_commands_to_type_next_are_on_one_line_each(view: StackView) -> None:
    local = StackView("local", view.project_root, view.outputs)
    lines = shown(display.summary, _summary(local)).partition("Next\n")[2].splitlines()
    assert len(lines) == len(_summary(local).as_dict()["next"])
    lines = shown(display.summary, _summary(view)).splitlines()
    assert [line for line in lines if "circlepay monitor --stack test" in line]


def test_what_asks_for_nothing_is_counted_and_shown_where_asked() -> None:
    note = FINDING | {"subject": "index kept", "severity": "note"}
    text = shown(display.findings, [FINDING, note])
    assert FINDING["subject"] in text
    assert "index kept" not in text
    assert "1 more of what is kept as documented" in text
    assert "index kept" in shown(display.findings, [FINDING, note], notes=True)
    assert shown(display.findings, [note]).startswith("No findings.\n1 more")
    assert "findings" not in shown(display.status, Status("local", (UP,), FILE, (), VERIFIED, findings=(note,)))
