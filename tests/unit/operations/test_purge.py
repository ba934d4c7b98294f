"""Purging: what it lists, what it keeps for other clones, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infra.operations import purge
from infra.targets import clones, data_root
from infra.targets.clones import clone_id
from tests.support.locations import container_location, location_resource
from tools.paths import ROOT
from tools.pulumi import docker_plugin
from tools.running import ToolError

OTHER_CLONE = "0123456789"


class Machine:
    """A clone with data, state and caches, and what it shares with other clones."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        self.state = self.root / ".circlepay" / "state"
        self.cache = folder / "cache" / "circlepay"
        self.data_root = folder / "data" / "circlepay"
        for made in (
            self.state,
            self.root / ".venv",
            self.root / "infra" / "__pycache__",
            self.cache / "uv",
            self.data_root,
        ):
            made.mkdir(parents=True)
        (self.data_root / data_root.MARK).write_text(data_root.TEXT)
        (self.root / "Pulumi.local.yaml").touch()
        (self.root / "README.md").touch()

    @property
    def data(self) -> Path:
        return self.data_root / clone_id(self.root)

    def has_server(self, clone: str = "", project_root: str = "") -> Path:
        folder = self.data_root / (clone or clone_id(self.root)) / "local" / "postgres"
        folder.mkdir(parents=True)
        mark = {"circlepay": "", "project_root": project_root or str(self.root)}
        (folder / data_root.MARK).write_text(json.dumps(mark))
        return folder

    def has_stack(self, name: str, *resources: str) -> None:
        folder = self.state / ".pulumi" / "stacks" / "circlepay"
        folder.mkdir(parents=True, exist_ok=True)
        listed = ", ".join(f'{{"urn": "urn:{urn}", "type": "circlepay:index:Server"}}' for urn in resources)
        (folder / f"{name}.json").write_text(f'{{"checkpoint": {{"latest": {{"resources": [{listed}]}}}}}}')
        (folder / f"{name}.json.bak").write_text("{}")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(purge, "ROOT", made.root)
    monkeypatch.setattr(purge, "CLONE_STATE", made.root / ".circlepay")
    monkeypatch.setattr(purge, "VIRTUAL_ENVIRONMENT", made.root / ".venv")
    monkeypatch.setattr(purge, "STATE", made.state)
    monkeypatch.setattr(data_root, "default", lambda: made.data_root)
    monkeypatch.setattr(purge, "_system_user_is_ours", lambda: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def test_everything_goes_but_the_clone_itself(machine: Machine) -> None:
    machine.has_server()
    assert purge.run(purge.WORD) == 0
    assert sorted(path.name for path in machine.root.rglob("*")) == ["README.md", "infra"]
    assert not machine.cache.exists()
    assert not machine.data_root.exists()
    assert purge.run(purge.WORD) == 0


def test_what_other_clones_use_stays(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has_server()
    machine.has_server(OTHER_CLONE)
    assert purge.run(purge.WORD) == 0
    assert not machine.data.exists()
    assert (machine.data_root / OTHER_CLONE / "local").exists()
    assert machine.cache.exists()
    assert "kept, because other clones have data here" in capsys.readouterr().out


ENGINE = "unix:///run/engine.sock"


def state_with_engine(project_root: Path) -> str:
    made = replace(container_location("redis", 1, ENGINE), project_root=str(project_root))
    return json.dumps({"checkpoint": {"latest": {"resources": [location_resource(made)]}}})


@pytest.fixture
def asked(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the environment's Python is asked, which knows of one volume; its answer fails where the file `fail` is."""
    program, written = machine.root / ".venv" / "bin" / "python", machine.root / "asked"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{written}\ncase "$*" in *" list"*) echo volume redis_data ;; '
        f"*) ! test -e {machine.root}/fail ;; esac\n"
    )
    program.chmod(0o755)
    machine.has_stack("dev")
    (machine.state / ".pulumi" / "stacks" / "circlepay" / "dev.json").write_text(state_with_engine(machine.root))
    monkeypatch.setattr(purge, "take_down", lambda stack: None)
    return written


LEFTOVERS = "-m infra.operations.leftovers"


def test_what_is_on_engines_is_listed_and_goes(
    machine: Machine, asked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    remove = purge.remove

    def told_first(path: Path) -> None:
        told.append(asked.read_text())
        remove(path)

    monkeypatch.setattr(purge, "remove", told_first)
    assert purge.run(purge.WORD) == 0
    assert "  volume redis_data, on a container engine\n" in capsys.readouterr().out
    both = f"{LEFTOVERS} list unix:///run/engine.sock\n{LEFTOVERS} clone unix:///run/engine.sock\n"
    assert told[0] == both  # before anything is removed that says where it is


def test_what_is_left_on_an_engine_keeps_everything(
    machine: Machine, asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine.root / "fail").touch()
    assert purge.run(purge.WORD) == 1
    assert machine.state.exists()
    assert "container engines could not be queried" in capsys.readouterr().err


def test_leftovers_without_any_stack_are_something_to_purge(machine: Machine, asked: Path) -> None:
    assert purge.look().on_engines == ["volume redis_data"]


def test_without_an_environment_no_engine_is_asked(machine: Machine) -> None:
    machine.has_stack("dev")
    assert purge.look().on_engines == []


@pytest.fixture
def plugins(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))
    folder = tmp_path / "pulumi" / "plugins"
    official = folder / "resource-aws-v7.0.0"
    official.mkdir(parents=True)
    return folder


def test_of_pulumis_plugins_only_the_one_built_here_goes(machine: Machine, plugins: Path) -> None:
    ours = plugins / docker_plugin.FOLDER_NAME
    ours.mkdir()
    (ours / docker_plugin.MARKER).touch()
    (ours / docker_plugin.PROGRAM.name).symlink_to(machine.cache / "docker-plugin" / "0123" / "bin" / "program")
    assert ours in purge.look().shared
    assert purge.run(purge.WORD) == 0
    assert [path.name for path in plugins.iterdir()] == ["resource-aws-v7.0.0"]


def test_an_official_docker_plugin_stays(machine: Machine, plugins: Path) -> None:
    (plugins / docker_plugin.FOLDER_NAME).mkdir()
    assert purge.run(purge.WORD) == 0
    assert (plugins / docker_plugin.FOLDER_NAME).exists()


def test_stacks_with_resources_are_taken_down_first(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has_stack("local", "postgres")
    machine.has_stack("empty")
    taken: list[str] = []
    monkeypatch.setattr(purge, "take_down", taken.append)
    assert purge.look().stacks == ["local"]
    assert purge.run(purge.WORD) == 0
    assert taken == ["local"]


def test_a_stack_that_stays_up_keeps_everything(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has_stack("local", "postgres")
    machine.data.mkdir()
    (machine.root / "tools").mkdir()
    script = machine.root / "tools" / "environment.sh"
    script.write_text('#!/bin/sh\necho "$STACK $DATA $CONFIRM $PULUMI_BACKEND_URL $*" >told\nexit 1\n')
    script.chmod(0o755)
    assert purge.run(purge.WORD) == 1
    assert (machine.root / "told").read_text() == f"local delete delete file://{machine.state} circlepay down\n"
    assert machine.data.exists()
    assert machine.state.exists()


def test_data_that_a_process_works_in_is_not_deleted(machine: Machine) -> None:
    folder = machine.has_server()
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=folder, stdin=subprocess.PIPE) as child:
        with pytest.raises(ToolError, match=rf"kill {child.pid}\b"):
            purge.carry_out(purge.look())
        child.communicate(b"\n", timeout=20)
    assert folder.exists()


def test_what_this_project_did_not_make_stays_and_is_told(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = [machine.data_root / "notes", machine.cache / "notes", machine.data / "local" / "notes"]
    unmarked, another = machine.data / "local" / "redis", machine.data / "other"
    machine.has_server()
    for path in (*theirs[:2], tmp_path / "elsewhere"):
        path.mkdir()
        (path / "file").touch()
    theirs[2].touch()
    unmarked.mkdir()
    (unmarked / "file").touch()
    (another / "redis").mkdir(parents=True)
    (another / "redis" / data_root.MARK).write_text(json.dumps({"circlepay": "", "project_root": "/another"}))
    (machine.cache / "uv").rmdir()
    (machine.cache / "uv").symlink_to(tmp_path / "elsewhere")
    (machine.data / "linked").symlink_to(tmp_path / "elsewhere")
    assert purge.run(purge.WORD) == 0
    assert all(
        path.exists() for path in (*theirs, unmarked / "file", another / "redis", tmp_path / "elsewhere" / "file")
    )
    assert not (machine.data / "local" / "postgres").exists()
    told = capsys.readouterr().out
    assert f"kept, because this project did not make it: {theirs[0]}\n" in told
    assert f"kept, because this project did not make it: {theirs[1]}" in told


def test_what_was_noted_of_a_move_goes_too(machine: Machine) -> None:
    machine.has_server(OTHER_CLONE)
    moved = machine.root.with_name("moved")
    clones.adopt("9876543210", str(moved), machine.root)
    noted = clones.register("9876543210")
    assert noted.exists()
    assert purge.run(purge.WORD) == 0
    assert not noted.exists()


def test_nothing_is_removed_behind_a_link(machine: Machine, tmp_path: Path) -> None:
    for folder in (machine.cache, machine.data_root):
        (folder / "precious").touch()
        folder.rename(tmp_path / folder.parent.name / "behind")
        folder.symlink_to(tmp_path / folder.parent.name / "behind")
    (machine.root / "linked").symlink_to(tmp_path / "linked")
    (tmp_path / "linked" / "__pycache__").mkdir(parents=True)
    assert purge.run(purge.WORD) == 0
    assert (machine.cache / "uv").exists()
    assert (machine.data_root / "precious").exists()
    assert (tmp_path / "linked" / "__pycache__").exists()


def test_of_a_copied_clone_only_the_record_goes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = tmp_path / "original"
    (original / ".circlepay").mkdir(parents=True)
    (original / "Pulumi.yaml").touch()
    monkeypatch.setattr(purge, "take_down", lambda stack: pytest.fail(f"{stack} is not this clone's"))
    machine.has_stack("dev")
    state = machine.state / ".pulumi" / "stacks" / "circlepay" / "dev.json"
    state.write_text(state_with_engine(original))
    assert purge.run(purge.WORD) == 0
    assert f"the record of stack dev, copied from {original}" in capsys.readouterr().out
    assert not machine.state.exists()
    machine.has_stack("dev")
    state.write_text(state_with_engine(original))
    original.rename(tmp_path / "gone")
    assert purge.run(purge.WORD) == 1
    assert "circlepay adopt" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["", "yes", "PURGE", "purge "])
def test_without_the_word_nothing_goes(machine: Machine, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert purge.run(word) == 1
    assert machine.cache.exists()
    assert machine.state.exists()


def test_without_anybody_to_ask_it_says_both_ways_to_agree(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert purge.run() == 1
    told = capsys.readouterr().err
    assert "make purge CONFIRM=purge" in told
    assert "circlepay purge --confirm purge" in told


def test_the_list_names_what_goes(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has_stack("local", "postgres")
    told = purge.describe(purge.look())
    for named in ("stack local: its servers", str(machine.cache), str(machine.root / ".venv"), "Pulumi.local.yaml"):
        assert named in told
    assert "README.md" not in told


@pytest.mark.parametrize("setting", purge.SUPPLIED)
def test_secrets_that_nobody_can_make_again_are_kept(
    machine: Machine, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stack_file, passphrase = machine.root / "Pulumi.local.yaml", machine.root / ".circlepay" / "passphrase"
    stack_file.write_text(f"config:\n  circlepay:application:\n    {setting}:\n      secure: x\n")
    passphrase.touch()
    assert purge.run(purge.WORD) == 0
    assert stack_file.exists()
    assert passphrase.exists()
    assert not machine.state.exists()
    told = capsys.readouterr()
    assert f"only you can delete: {stack_file}" in told.out
    assert "only the clone itself" not in told.err
    assert f"left besides the clone itself, as listed above: {stack_file}, {passphrase}" in told.err


def test_it_needs_nothing_but_pythons_own_library() -> None:
    code = "import infra.operations.purge"
    bare = [sys.executable, "-B", "-E", "-s", "-S", "-c", code]
    done = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
