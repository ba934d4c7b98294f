"""The command as it is typed: exit codes, JSON, errors; every verb and option is documented."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from infra import cli
from infra.operations import preview, stack
from infra.operations.preview import Planned, Preview
from infra.paths import PROJECT_ROOT
from infra.version import VERSION
from tests.support import live_servers
from tests.unit.operations.conftest import FINDING, PulumiState, env_file, outputs, pulumi_state, servers  # noqa: F401
from tests.unit.operations.test_monitor import QUERY_NAMES, REDIS_NAMES
from tests.unit.operations.test_preview import CHANGE
from tests.unit.operations.test_summary import RUN
from tools.paths import PROGRAMS

COMMANDS = PROJECT_ROOT / "docs" / "commands.md"
VERBS = (
    "adopt",
    "down",
    "findings",
    "logs",
    "monitor",
    "preview",
    "psql",
    "purge",
    "redis-cli",
    "restart",
    "status",
    "summary",
    "up",
    "verify",
)
READERS = ("findings", "monitor", "status", "summary", "restart")


@pytest.fixture
def brought_up(pulumi_state: PulumiState, outputs: dict[str, Any], env_file: Path) -> PulumiState:  # noqa: F811
    """A stack `test` whose servers run and whose env file is current."""
    pulumi_state.add_stack("test", outputs)
    pulumi_state.write_history("test", RUN)
    return pulumi_state


@pytest.fixture
def no_drift(monkeypatch: pytest.MonkeyPatch) -> list[Planned]:
    """What the preview finds: nothing, until a test puts something there. The real one is tested on a real stack."""
    found: list[Planned] = []
    monkeypatch.setattr(preview, "run", lambda stack, project_root=None: Preview(tuple(found), (FINDING,)))
    return found


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Exit code, and standard output as JSON."""
    code = cli.run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def typed(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [PROGRAMS / "circlepay", *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )


def test_every_verb_is_there() -> None:
    assert tuple(sorted(cli.cli.commands)) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_is_a_sentence(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^  [A-Z][^.]+\.$", text, re.MULTILINE)
    assert max(len(line) for line in text.splitlines()) <= 100
    for parameter in cli.cli.commands[verb].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_is_documented(verb: str) -> None:
    documented = COMMANDS.read_text(encoding="utf-8")
    section = documented.partition(f"## `circlepay {verb}`")[2].partition("\n## ")[0]
    assert section, f"docs/commands.md has no section for {verb}"
    for parameter in cli.cli.commands[verb].params:
        if isinstance(parameter, click.Option):
            for name in (*parameter.opts, *parameter.secondary_opts):
                assert f"`{name}" in section, f"docs/commands.md says nothing of {name} of {verb}"


def test_documentation_names_no_verb_that_is_not_there() -> None:
    documented = re.findall(r"^## `circlepay ([a-z-]+)`$", COMMANDS.read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(sorted(documented)) == VERBS


def test_everything_well_is_exit_code_0(
    brought_up: PulumiState, no_drift: list[Planned], capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = answer(capsys, "status", "--stack", "test")
    assert code == 0
    assert found["well"] is True
    assert found["drift"] == []


def test_findings_are_exit_code_2_only_where_asked(
    brought_up: PulumiState, no_drift: list[Planned], capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "status", "--stack", "test", "--strict")[0] == 2
    code, found = answer(capsys, "findings", "--stack", "test")
    assert (code, found) == (2, [FINDING])


def test_drift_is_exit_code_2(
    brought_up: PulumiState, no_drift: list[Planned], capsys: pytest.CaptureFixture[str]
) -> None:
    no_drift.append(Planned("schema", "Schema", "update", (CHANGE,)))
    code, found = answer(capsys, "status", "--stack", "test")
    assert code == 2
    assert found["drift"][0]["changes"] == [CHANGE]
    code, found = answer(capsys, "preview", "--stack", "test")
    assert code == 2
    assert found[0]["changes"] == [CHANGE]


def test_nothing_to_change_is_exit_code_0(no_drift: list[Planned], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "preview") == (0, [])


def test_missing_env_file_is_exit_code_2(
    brought_up: PulumiState,
    env_file: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    env_file.unlink()
    code, found = answer(capsys, "status", "--stack", "test", "--no-drift")
    assert code == 2
    assert found["drift"] is None


@pytest.mark.parametrize("verb", READERS)
def test_absent_stack_is_exit_code_1_and_json(
    pulumi_state: PulumiState,  # noqa: F811
    verb: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, found = answer(capsys, verb, "--stack", "absent")
    assert code == 1
    assert found["error"] == "StackError"
    assert found["hint"] == "make up STACK=absent"


def test_absent_stack_is_one_clear_message(
    pulumi_state: PulumiState,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["status", "--stack", "absent"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "circlepay: read stack: absent: there is no such stack\n  -> make up STACK=absent\n"


def test_stack_is_taken_from_the_environment(
    pulumi_state: PulumiState,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STACK", "from-environment")
    assert answer(capsys, "findings")[1]["path"] == "from-environment"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["status", "--nonsense"],
        ["logs", "--lines", "-1"],
        ["logs", "--server", "mysql"],
        ["monitor", "--watch", "0"],
    ],
    ids=" ".join,
)
def test_wrong_command_line_is_exit_code_1(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == 1
    assert "Error" in capsys.readouterr().err


def test_monitor_answers_as_json_and_as_tables(brought_up: PulumiState, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answer(capsys, "monitor", "--stack", "test")
    assert code == 0
    assert {table["server"] for table in found} == {"postgres", "redis"}
    assert cli.run(["monitor", "--stack", "test", "--server", "postgres", "--query", "table_sizes", "--explain"]) == 0
    text = capsys.readouterr().out
    assert "kyc_documents" in text
    assert "Sizes are taken by" in text
    assert "redis" not in text


def test_monitor_fits_a_screen(brought_up: PulumiState, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["monitor", "--stack", "test"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 110
    for name in (*QUERY_NAMES, *REDIS_NAMES):
        assert any(line[2:].startswith(f"{name} ") for line in lines), name
    assert cli.run(["monitor", "--stack", "test", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 200


def test_monitor_watches_as_often_as_asked(brought_up: PulumiState, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["monitor", "--stack", "test", "--query", "dbsize", "--watch", "0.1", "--count", "3"]) == 0
    assert capsys.readouterr().out.count("redis · dbsize") == 3


def test_monitor_of_a_server_that_is_down_is_exit_code_1(
    pulumi_state: PulumiState,  # noqa: F811
    outputs: dict[str, Any],  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = outputs["redis"]["port"]
    outputs["redisUrl"] = outputs["redisUrl"].replace(f":{port}/", f":{live_servers.free_port()}/")
    pulumi_state.add_stack("test", outputs)
    code, found = answer(capsys, "monitor", "--stack", "test")
    assert code == 1
    assert [table["name"] for table in found if table["problem"]] == ["connection"]
    assert len(found) > 5


def test_logs_show_the_end(brought_up: PulumiState, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["logs", "--stack", "test", "--server", "postgres", "--lines", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_logs_of_both_servers_are_told_apart(brought_up: PulumiState, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["logs", "--stack", "test", "--lines", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[::3]] == ["==> postgres", "==> redis"]
    assert len(lines) == 6


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"circlepay {VERSION}\n"


def test_list_of_verbs_cuts_no_sentence_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert "..." not in listed
    assert "whether it can be taken back" in " ".join(listed.split())


def test_summary_says_what_to_type_next(brought_up: PulumiState, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answer(capsys, "summary", "--stack", "test")
    assert code == 0
    assert found["result"] == "succeeded"
    assert cli.run(["summary", "--stack", "test"]) == 0
    assert "make down STACK=test" in capsys.readouterr().out


def test_psql_runs_with_the_stacks_credentials(brought_up: PulumiState) -> None:
    done = typed("psql", "--stack", "test", "--application", "-XAtc", "SELECT current_user, current_database()")
    assert (done.returncode, done.stdout) == (0, "circlepay_user|circlepay_db\n"), done.stderr
    done = typed("psql", "--stack", "test", "--", "-X", "-v", "ON_ERROR_STOP=1", "-f", "sql/monitoring/table_sizes.sql")
    assert done.returncode == 0, done.stderr


def test_redis_cli_runs_one_command_or_a_line_each(brought_up: PulumiState) -> None:
    assert typed("redis-cli", "--stack", "test", "ping").stdout == "PONG\n"
    assert typed("redis-cli", "--stack", "test", text="ping\ndbsize\n").stdout == "PONG\n(integer) 0\n"
    refused = typed("redis-cli", "--stack", "test", "nonsense")
    assert refused.returncode == 1
    assert "unknown command" in refused.stderr


@pytest.mark.parametrize(
    "verb", [verb for verb in VERBS if verb not in {"adopt", "up", "down", "purge", "psql", "verify"}]
)
def test_no_verb_prints_a_credential(
    verb: str,
    brought_up: PulumiState,
    outputs: dict[str, Any],  # noqa: F811
    no_drift: list[Planned],
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments = {"logs": ["--server", "redis"], "redis-cli": ["ping"]}.get(verb, ["--json"])
    cli.run([verb, "--stack", "test", *arguments])
    captured = capfd.readouterr()
    view = stack.StackView("test", Path(), outputs)
    for login in (view.admin_login(), view.application_login(), view.redis_login()):
        assert login.password not in captured.out + captured.err


LATE = {"psycopg", "redis", "rich", "pulumi", "docker", "pydantic", "yaml", "psutil"}


@pytest.mark.parametrize("imported", ["infra.cli", "infra.operations.up", "infra.operations.down"])
def test_start_is_quick(imported: str) -> None:
    """Neither database clients nor rich: a verb pays for what it uses, and an `up` for nothing before Pulumi runs."""
    code = (
        f"import sys; from infra import cli; import {imported}; cli.run(['--help']); print({LATE} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
