"""When the Docker plugin is fetched or built, and what is left alone. Scripts stand in for Go and for Pulumi."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path

import pytest

from tools import go
from tools.paths import ROOT
from tools.pulumi import docker_plugin
from tools.running import ToolError

FAKE_GO = """#!/bin/sh
case $1 in
    env) printf 'go1.99.0\\nlocal\\n' ;;
    build)
        echo "go $*" >>"$FAKE_LOG"
        [ -z "$FAKE_ERROR" ] || { echo "$FAKE_ERROR"; exit 1; }
        while [ "$1" != -o ]; do shift; done
        printf '#!/bin/sh\\necho built\\n' >"$2"
        chmod +x "$2"
        ;;
esac
"""

FAKE_PULUMI = """#!/bin/sh
echo "pulumi $*" >>"$FAKE_LOG"
[ "$FAKE_NETWORK" = open ] || exit 255
folder="$PULUMI_HOME/plugins/resource-$4-v$5"
mkdir -p "$folder" && echo official >"$folder/pulumi-resource-$4"
"""


class Machine:
    """A clone with stacks `local` and `dev`, of which only `dev` runs on Docker, and a Pulumi home."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "pulumi"
        self.module = folder / "module"
        self.plugin = self.home / "plugins" / docker_plugin.FOLDER_NAME
        self.program = self.plugin / docker_plugin.PROGRAM.name
        self.log = folder / "log"

    def prepare(self, stack: str = "dev", *, own_build: bool = True, **variables: str) -> None:
        environment = {**os.environ, "PULUMI_HOME": str(self.home), **variables}
        docker_plugin.prepare(environment, self.home, stack, own_build=own_build)

    def asked(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [" ".join(line.split()[:2]) for line in lines]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name, text in (("go", FAKE_GO), ("pulumi", FAKE_PULUMI)):
        (binaries / name).write_text(text)
        (binaries / name).chmod(0o755)
    made = Machine(tmp_path)
    shutil.copytree(docker_plugin.PROGRAM.module, made.module)
    program = go.Program(made.module, docker_plugin.PROGRAM.package, "no time")
    monkeypatch.setattr(docker_plugin, "PROGRAM", program)
    monkeypatch.setattr(docker_plugin, "ROOT", tmp_path)
    (tmp_path / "Pulumi.local.yaml").write_text("config:\n  circlepay:target: processes\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  circlepay:target: docker\n")
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in (("LOG", str(made.log)), ("NETWORK", "closed"), ("ERROR", "")):
        monkeypatch.setenv(f"FAKE_{name}", value)
    monkeypatch.delenv(docker_plugin.FORCED_BY, raising=False)
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("config:\n  circlepay:target: docker\n", True),
        ("config:\n  circlepay:target: docker   # containers\n", True),
        ("config:\n  'circlepay:target': \"docker\"\n  circlepay:redis: {}\n", True),
        ("config: {circlepay:target: docker}\n", True),
        ("config: {circlepay:target: docker, a:b: c}\n", True),
        ("config:\n  circlepay:target: processes\n", False),
        ("config:\n  circlepay:target: dockerish\n", False),
        ("config:\n  # circlepay:target: docker\n  circlepay:target: hosts\n", False),
        ("config:\n  circlepay:targets: docker\n", False),
        ("", False),
    ],
)
def test_the_stacks_file_says_whether_it_runs_on_docker(machine: Machine, text: str, expected: bool) -> None:
    (machine.home.parent / "Pulumi.some.yaml").write_text(text)
    assert docker_plugin.runs_on_docker("some") is expected


@pytest.mark.parametrize(("stack", "own_build"), [("local", True), ("none", True), ("dev", False)])
def test_a_stack_without_need_of_it_costs_nothing(machine: Machine, stack: str, own_build: bool) -> None:
    machine.prepare(stack, own_build=own_build)
    assert machine.asked() == []
    assert not machine.home.exists()


def test_where_pulumi_can_download_it_nothing_is_built(machine: Machine) -> None:
    machine.prepare(FAKE_NETWORK="open")
    assert machine.asked() == ["pulumi plugin"]
    assert machine.program.read_text() == "official\n"
    machine.prepare(FAKE_NETWORK="open")
    assert machine.asked() == ["pulumi plugin"]


def test_where_pulumi_cannot_it_is_built_once_and_says_what_it_is(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.prepare()
    assert machine.asked() == ["pulumi plugin", "go build"]
    assert os.access(machine.program, os.X_OK)
    told = (machine.plugin / docker_plugin.MARKER).read_text()
    assert "unofficial" in told
    assert "kreuzwerker/terraform-provider-docker v0.0.0-" in told
    assert "pulumi-terraform-bridge/v3 v3." in told
    assert "an unofficial Docker plugin" in capsys.readouterr().err
    machine.prepare()
    assert machine.asked() == ["pulumi plugin", "go build"]
    assert capsys.readouterr().err == ""
    assert [path.name for path in machine.plugin.parent.iterdir()] == [machine.plugin.name]


@pytest.mark.parametrize("stack", ["dev", "local"])
@pytest.mark.parametrize("own_build", [True, False])
def test_when_asked_for_it_is_built_for_any_stack_and_any_pulumi(machine: Machine, stack: str, own_build: bool) -> None:
    machine.prepare(stack, own_build=own_build, FAKE_NETWORK="open", CIRCLEPAY_BUILD_DOCKER_PLUGIN="1")
    assert machine.asked() == ["go build"]
    assert docker_plugin.is_ours(machine.plugin)


@pytest.mark.parametrize("forced", ["", "1"])
def test_an_official_one_is_left_as_it_is(machine: Machine, forced: str) -> None:
    machine.plugin.mkdir(parents=True)
    machine.program.write_text("official\n")
    machine.prepare(CIRCLEPAY_BUILD_DOCKER_PLUGIN=forced)
    docker_plugin.install(machine.home)
    assert machine.asked() == []
    assert machine.program.read_text() == "official\n"
    assert docker_plugin.installed(machine.home) is None


def test_code_that_changed_is_another_plugin(machine: Machine) -> None:
    machine.prepare()
    first = machine.program.resolve()
    (machine.module / "mapping.go").write_text("package main\n")
    machine.prepare()
    assert machine.program.resolve() != first
    assert machine.asked().count("go build") == 2


@pytest.mark.parametrize(("lost", "builds"), [("program", 2), ("link", 1)])
def test_one_whose_program_is_lost_is_made_again(machine: Machine, lost: str, builds: int) -> None:
    machine.prepare()
    if lost == "link":
        machine.program.unlink()
    else:
        shutil.rmtree(machine.program.resolve().parent.parent)
    machine.prepare()
    assert machine.program.exists()
    assert machine.asked().count("go build") == builds


def test_another_home_gets_the_same_program(machine: Machine) -> None:
    machine.prepare()
    other = machine.home.parent / "other"
    docker_plugin.install(other)
    assert machine.asked().count("go build") == 1
    assert docker_plugin.installed(other) == other / "plugins" / docker_plugin.FOLDER_NAME
    assert (other / "plugins" / docker_plugin.FOLDER_NAME / machine.program.name).resolve() == machine.program.resolve()


def test_a_failed_build_leaves_no_plugin(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERROR", "undefined: Everything")
    with pytest.raises(ToolError, match="undefined: Everything"):
        machine.prepare()
    assert not machine.plugin.exists()


def test_it_is_the_version_that_the_python_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"pulumi-docker=={docker_plugin.VERSION}" in project["dependencies"]
