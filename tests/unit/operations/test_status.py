"""Status of running servers, of servers that are down, and of the env file."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.operations import status
from infra.operations.preview import Planned
from infra.operations.stack import StackView
from infra.operations.status import EnvFileStatus, ServerStatus, Status
from tests.support import container_product, live_servers
from tests.support.locations import container_location
from tests.unit.operations.conftest import Servers, Stage, container_outputs
from tests.unit.operations.test_preview import CHANGE
from tests.unit.operations.test_stack import SETTINGS_MESSAGE, failing_pulumi

WELL = ServerStatus("postgres", "127.0.0.1", 5432, running=True, authenticating=True)
GOOD_FILE = EnvFileStatus("/x/.env", exists=True, mode="0600", current=True)


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_running_server_is_described(view: StackView, servers: Servers, name: str) -> None:
    live = servers.postgres if name == "postgres" else servers.cache
    found = status.server_status(view, name)
    assert (found.running, found.authenticating, found.problem) == (True, True, "")
    assert (found.address, found.port, found.pid) == ("127.0.0.1", live.port, live.pid)
    assert found.version.startswith("18." if name == "postgres" else "9.")
    assert found.uptime is not None
    assert 0 <= found.uptime < 600
    assert found.size is not None
    assert found.size > 100_000


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_server_that_is_down_is_told(view: StackView, outputs: dict[str, Any], name: str) -> None:
    outputs[name]["location"]["port"] = live_servers.free_port()
    found = status.server_status(view, name)
    assert (found.running, found.authenticating, found.problem) == (False, False, "nothing is listening there")


def _contained(stage: Stage) -> StackView:
    return StackView("test", Path(), container_outputs(stage))


def test_running_container_is_described_by_its_name(stage: Stage) -> None:
    stage.up(container_product.spec())
    found = status.server_status(_contained(stage), "redis")
    assert (found.running, found.authenticating, found.problem) == (True, True, "")
    assert found.place == f"container {stage.parts.container}"
    assert found.pid is None  # 1 inside, and of no use outside
    assert (found.restarts, found.out_of_memory) == (0, False)


@pytest.mark.parametrize("state", [{"OOMKilled": True}, {}])
def test_container_that_the_engine_started_again_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, state: dict[str, bool]
) -> None:
    monkeypatch.setattr(
        "infra.targets.docker.ownership.inspected",
        lambda *_: {"RestartCount": 3, "State": {"Status": "running", **state}},
    )
    found = status.server_status(_contained(stage), "redis")
    assert (found.restarts, found.out_of_memory) == (3, bool(state))


@pytest.mark.parametrize(
    ("by_hand", "problem"),
    [
        (lambda api, name: api.stop(name), "container {} is exited with exit code 0"),
        (lambda api, name: api.pause(name), "container {} is paused"),
        (lambda api, name: api.remove_container(name, force=True), "there is no container {}"),
    ],
    ids=["stopped", "paused", "removed"],
)
def test_container_that_does_not_run_is_told(stage: Stage, by_hand: Any, problem: str) -> None:
    stage.up(container_product.spec())
    by_hand(stage.api, stage.parts.container)
    found = status.server_status(_contained(stage), "redis")
    assert not found.authenticating
    assert found.problem == problem.format(stage.parts.container)


def test_container_that_runs_and_refuses_tells_the_servers_words(stage: Stage) -> None:
    stage.up(container_product.spec())
    stage.secrets["password"] = "not-the-password"
    found = status.server_status(_contained(stage), "redis")
    assert (found.running, found.authenticating) == (True, False)
    assert "password" in found.problem


def test_engine_that_is_absent_is_told(view: StackView, outputs: dict[str, Any]) -> None:
    location = container_location("redis", live_servers.free_port(), "unix:///nonexistent.sock")
    outputs["redis"]["location"] = location.to_json()
    found = status.server_status(view, "redis")
    assert found.problem == "unix:///nonexistent.sock: there is no container engine"


@pytest.mark.parametrize(("name", "output"), [("postgres", "adminDatabaseUrl"), ("redis", "redisUrl")])
def test_wrong_password_is_running_but_not_authenticating(
    view: StackView, outputs: dict[str, Any], name: str, output: str
) -> None:
    login = view.admin_login() if name == "postgres" else view.redis_login()
    outputs[output] = outputs[output].replace(login.password, "not-the-password")
    found = status.server_status(view, name)
    assert (found.running, found.authenticating) == (True, False)
    assert found.problem
    assert "not-the-password" not in found.problem


def test_something_else_on_the_port_is_not_authenticating(view: StackView, outputs: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        outputs["redisUrl"] = outputs["redisUrl"].replace(f":{outputs['redis']['port']}/", f":{port}/")
        outputs["redis"]["location"]["port"] = port
        found = status.server_status(view, "redis")
    assert (found.running, found.authenticating) == (True, False)


def test_current_env_file_has_no_problem(view: StackView, env_file: Path) -> None:
    assert status.env_file_status(view) == EnvFileStatus(str(env_file), exists=True, mode="0600", current=True)


def test_env_file_that_others_may_read_is_told(view: StackView, env_file: Path) -> None:
    env_file.chmod(0o644)
    assert status.env_file_status(view).problem == "its mode is 0644, not 0600: others may read it"


@pytest.mark.parametrize("output", ["databaseUrl", "redisUrl"])
def test_env_file_of_another_time_is_told(
    view: StackView, outputs: dict[str, Any], env_file: Path, output: str
) -> None:
    outputs[output] += "x"
    found = status.env_file_status(view)
    assert not found.current
    assert found.problem.startswith("its URLs are not the stack's")


def test_missing_env_file_is_told(view: StackView) -> None:
    assert status.env_file_status(view).problem == "it is missing; `make up` writes it"


def test_env_file_that_is_a_folder_is_told(view: StackView, outputs: dict[str, Any]) -> None:
    Path(outputs["envFile"]).mkdir()
    assert status.env_file_status(view).problem.startswith("it cannot be read")


def test_whole_status_without_drift_is_well(view: StackView, env_file: Path) -> None:
    found = status.read(view, look_for_drift=False)
    assert found.well
    assert found.drift is None
    shown = found.as_dict()
    assert shown["well"] is True
    assert [server["name"] for server in shown["servers"]] == ["postgres", "redis"]
    assert view.admin_login().password not in str(shown)


def test_drift_that_cannot_be_looked_for_hides_nothing_else(
    view: StackView, env_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = status.read(view)
    assert "there is no pulumi here" in found.drift_problem
    assert not found.well
    assert all(server.authenticating for server in found.servers)


@pytest.mark.parametrize(
    ("change", "well"),
    [
        ({}, True),
        ({"drift": ()}, True),
        ({"findings": ({"subject": "x"},)}, True),
        ({"servers": (ServerStatus("redis", "h", 1, running=False, authenticating=False),)}, False),
        ({"env_file": EnvFileStatus("/x", exists=False, problem="it is missing")}, False),
        ({"drift": (Planned("schema", "Schema", "update", ()),)}, False),
        ({"drift_problem": "no pulumi"}, False),
        ({"verification": {"passed": 359, "failed": 1}}, True),
    ],
)
def test_well_means_every_part(change: dict[str, Any], well: bool) -> None:
    base: dict[str, Any] = {
        "stack": "test",
        "servers": (WELL,),
        "env_file": GOOD_FILE,
        "drift": None,
        "verification": {"failed": 0},
    }
    assert Status(**(base | change)).well is well


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a pasted secret", "it was edited: line 21 is not KEY=value"),
        ("junk", "it was edited: it has keys that are not declared"),
        ("MORE=1", "it was edited: it has keys that are not declared"),
        ("DEBUG=1", "it was edited: DEBUG is defined twice"),
    ],
)
def test_env_file_that_was_edited_is_told(view: StackView, env_file: Path, line: str, problem: str) -> None:
    with env_file.open("a") as file:
        file.write(f"{line}\n")
    found = status.env_file_status(view)
    assert re.sub("line [0-9]+", "line 21", found.problem) == problem
    assert not found.current


def test_keys_of_the_stacks_own_are_no_edit_and_are_missed(view: StackView, env_file: Path) -> None:
    own = replace(view, outputs={**view.outputs, "ownKeys": ["MORE"]})
    assert status.env_file_status(own).problem == "it was edited: MORE missing"
    with env_file.open("a") as file:
        file.write("MORE=1\n")
    assert status.env_file_status(own).current
    assert status.env_file_status(view).problem == "it was edited: it has keys that are not declared"


def test_env_file_that_drifted_is_told(view: StackView, env_file: Path) -> None:
    def drift(subject: str, reason: str) -> list[Planned]:
        change = CHANGE | {"subject": subject, "action": "write", "reason": reason}
        return [Planned("env-file", "EnvFile", "update", (change,))]

    found = status.env_file_status(view, drift("env file", "has another content than declared"))
    assert (found.current, found.problem) == (False, "it has another content than declared")
    unknown = drift(f"env file {env_file}", "its values are known once the servers run")
    assert status.env_file_status(view, unknown).current


def test_drift_that_cannot_be_looked_for_is_told_in_its_parts(
    view: StackView, env_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing_pulumi(tmp_path, monkeypatch, SETTINGS_MESSAGE)
    shown = status.read(view).as_dict()
    assert shown["drift_problem"] == SETTINGS_MESSAGE
    assert shown["drift_error"]["error"] == "SettingsError"
    assert shown["drift_error"]["hint"] == "correct it"
