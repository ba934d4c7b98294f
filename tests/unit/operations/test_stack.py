"""A stack's outputs are read, its credentials stay inside, and what is missing is said clearly."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import tunnels
from infra.endpoint import Endpoint, Login
from infra.errors import SettingsError
from infra.operations import clients, engine_errors, preview, stack
from infra.operations.stack import StackError, StackView, parse_url
from tests.support.locations import container_location
from tests.support.ssh_server import ssh_server
from tests.unit.operations.conftest import PulumiState, server_outputs


def test_outputs_are_read_with_their_secrets(pulumi_state: PulumiState, outputs: dict[str, Any]) -> None:
    pulumi_state.add_stack("test", outputs)
    view = stack.load("test", project_root=pulumi_state.project)
    assert view.outputs == outputs
    assert view.admin_login().password in outputs["adminDatabaseUrl"]


def test_stack_that_was_never_brought_up_says_so(pulumi_state: PulumiState) -> None:
    pulumi_state.pulumi("stack", "init", "empty")
    with pytest.raises(StackError, match="it was never brought up"):
        stack.load("empty", project_root=pulumi_state.project)


def test_wrong_passphrase_says_so(
    pulumi_state: PulumiState, outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pulumi_state.add_stack("test", outputs)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another")
    with pytest.raises(engine_errors.EngineError, match="cannot be decrypted with this passphrase"):
        stack.load("test", project_root=pulumi_state.project)


def test_folder_that_is_no_project_tells_what_pulumi_said(pulumi_state: PulumiState, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(StackError) as caught:
        stack.load("test", project_root=elsewhere)
    assert caught.value.path == "test"
    assert caught.value.cause


def test_no_pulumi_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="there is no pulumi here"):
        stack.pulumi_command(tmp_path)


def test_environment_is_set_up_where_nobody_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    (tmp_path / ".circlepay").mkdir()
    (tmp_path / "tools").mkdir()
    launcher = tmp_path / "tools" / "environment.sh"
    launcher.touch(0o755)
    assert stack.pulumi_command(tmp_path) == [str(launcher), "pulumi"]


def test_environment_that_is_set_up_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("pulumi") is None:
        pytest.skip("pulumi is not on PATH")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nowhere")
    (tmp_path / ".circlepay").mkdir()
    assert Path(stack.pulumi_command(tmp_path)[0]).name == "pulumi"


def test_credentials_stay_out_of_repr(view: StackView, outputs: dict[str, Any]) -> None:
    assert outputs["databaseUrl"] not in repr(view)
    assert view.admin_login().password not in repr(view.admin_login())


def test_server_is_described(view: StackView, outputs: dict[str, Any]) -> None:
    server = view.server("redis")
    assert server.endpoint == Endpoint("127.0.0.1", outputs["redis"]["port"])
    assert server.location.to_json() == outputs["redis"]["location"]
    assert server.programs == Path(outputs["redis"]["programs"])


def test_server_in_a_container_has_no_programs_here(view: StackView, outputs: dict[str, Any]) -> None:
    location = container_location("redis", outputs["redis"]["port"])
    outputs["redis"] = server_outputs(location, version="7.0", programs="")
    server = view.server("redis")
    assert (server.location, server.programs) == (location, None)
    assert server.location.endpoint() == server.endpoint == view.redis_login().endpoint


def test_server_of_an_earlier_release_says_what_to_type(view: StackView, outputs: dict[str, Any]) -> None:
    del outputs["redis"]["location"]
    with pytest.raises(StackError, match=r"an earlier release brought it up\n.*make up STACK=test"):
        view.server("redis")


@pytest.mark.parametrize("damaged", [{}, {"target": "docker"}, None])
def test_location_that_is_not_whole_is_told(view: StackView, outputs: dict[str, Any], damaged: object) -> None:
    outputs["redis"]["location"] = damaged
    with pytest.raises(StackError, match="its output 'redis' is missing or incomplete"):
        view.server("redis")


@pytest.fixture
def via() -> Iterator[str]:
    """URL of an engine on another machine, which is this one by ssh."""
    with ssh_server() as found:
        yield tunnels.with_configuration(found.url, str(found.config))
        tunnels.close()


def test_server_on_another_machine_is_reached_through_a_tunnel(
    view: StackView, outputs: dict[str, Any], via: str
) -> None:
    port = outputs["redis"]["port"]
    outputs["redis"]["location"] = container_location("redis", port, via).to_json()
    server, login = view.server("redis"), view.redis_login()
    assert server.endpoint.port == port
    assert server.location.endpoint().port == login.endpoint.port != port
    assert clients.run_redis(login, ["ping"]) == "PONG"
    outputs["postgres"]["location"]["via"] = via
    assert view.admin_login().endpoint.port != outputs["postgres"]["port"] != view.application_login().endpoint.port


def test_a_resource_is_found_by_type_and_name() -> None:
    kind = "circlepay:index:Server"
    listed = [{"type": kind, "urn": f"urn:pulumi:x::circlepay::{kind}::{name}"} for name in ("postgres", "redis")]
    state = {"deployment": {"resources": listed}}
    assert stack.resource(state, kind, "redis") == listed[1]
    assert stack.resource(state, kind, "other") is None
    assert stack.resource({}, kind, "redis") is None


@pytest.mark.parametrize("output", ["postgres", "adminDatabaseUrl"])
def test_missing_output_is_named(view: StackView, outputs: dict[str, Any], output: str) -> None:
    del outputs[output]
    with pytest.raises(StackError, match=f"its output '{output}' is missing"):
        view.server(output) if output == "postgres" else view.admin_login()


def test_env_file_below_the_project_is_found_there(view: StackView, outputs: dict[str, Any]) -> None:
    outputs["envFile"] = ".env.test"
    assert view.env_file == view.project_root / ".env.test"


@pytest.mark.parametrize(
    ("url", "login"),
    [
        (
            "postgresql://circlepay_user:p%40ss%2F%3A%20%25@db.example:5433/circlepay_db",
            Login(Endpoint("db.example", 5433), "circlepay_user", "p@ss/: %", "circlepay_db"),
        ),
        ("redis://default:r%23s@127.0.0.1:6380/0", Login(Endpoint("127.0.0.1", 6380), "default", "r#s", "0")),
        ("redis://:r%23s@127.0.0.1:6380/0", Login(Endpoint("127.0.0.1", 6380), "", "r#s", "0")),
        ("redis://[::1]", Login(Endpoint("::1", 6379), "", "", "")),
        ("postgresql://u@h/d", Login(Endpoint("h", 5432), "u", "", "d")),
    ],
)
def test_urls_are_parsed(url: str, login: Login) -> None:
    assert parse_url(url) == login


SETTINGS_MESSAGE = (
    "read the settings of stack local: circlepay:redis.maxmemroy: is not a setting; did you mean "
    "circlepay:redis.maxmemory?\n  -> correct it"
)


def failing_pulumi(folder: Path, monkeypatch: pytest.MonkeyPatch, *messages: str) -> None:
    """A `pulumi` on PATH that writes events as a preview with PULUMI_ENABLE_STREAMING_JSON_PREVIEW does, and fails."""
    events = [{"sequence": 1, "resourcePreEvent": {"metadata": {"op": "refresh", "urn": "x" * 5000, "type": "x"}}}]
    events += [{"diagnosticEvent": {"severity": "error", "message": message}} for message in messages]
    (folder / "events").write_text("".join(json.dumps(event) + "\n" for event in events))
    (folder / "pulumi").write_text(f"#!/bin/sh\necho 'warning: something else' >&2\ncat {folder}/events\nexit 1\n")
    (folder / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nowhere")


def test_failed_preview_is_the_error_that_stopped_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_pulumi(tmp_path, monkeypatch, SETTINGS_MESSAGE, "preview failed")
    with pytest.raises(SettingsError) as caught:
        preview.run("local", project_root=tmp_path)
    assert caught.value.message == SETTINGS_MESSAGE
    assert caught.value.path == "circlepay:redis.maxmemroy"
    assert caught.value.hint == "correct it"


def test_several_errors_of_a_preview_are_all_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_pulumi(tmp_path, monkeypatch, "one went wrong", "another went wrong")
    with pytest.raises(StackError) as caught:
        preview.run("local", project_root=tmp_path)
    assert caught.value.cause == "one went wrong; another went wrong"


def test_engine_that_has_moved_is_looked_for_where_it_is_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_pulumi(tmp_path, monkeypatch, "pulumi-docker: unix:///x.sock: there is no container engine\n  -> start it")
    script = (tmp_path / "pulumi").read_text()
    (tmp_path / "pulumi").write_text(
        script.replace("echo", f'echo "$@" >>{tmp_path}/asked\ncase "$*" in *--run-program*) exit 0;; esac\necho', 1)
    )
    assert preview.run("local", project_root=tmp_path) == preview.Preview()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert ["--run-program" in line for line in asked] == [False, True]


def test_engine_that_is_nowhere_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_pulumi(tmp_path, monkeypatch, "pulumi-docker: unix:///x.sock: there is no container engine\n  -> start it")
    with pytest.raises(engine_errors.EngineError) as caught:
        preview.run("local", project_root=tmp_path)
    assert (caught.value.path, caught.value.hint) == ("unix:///x.sock", "start it")


def test_warnings_are_those_of_the_outputs(view: StackView, outputs: dict[str, Any]) -> None:
    assert view.warnings == []
    outputs["warnings"] = ["circlepay:verify is false"]
    assert view.warnings == ["circlepay:verify is false"]
