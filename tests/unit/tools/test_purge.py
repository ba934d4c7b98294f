"""Purging: what it lists, what it keeps for other clones, what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import purge
from tools.running import ToolError

OTHER_CLONE = "0123456789"


class Machine:
    """A clone with data, state and caches, and what it shares with other clones."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        self.state = self.root / ".circlepay" / "state"
        self.cache = folder / "cache" / "circlepay"
        self.data_root = folder / "data" / "circlepay"
        for made in (self.state, self.root / ".venv", self.root / "infra" / "__pycache__", self.cache, self.data_root):
            made.mkdir(parents=True)
        (self.root / "Pulumi.local.yaml").touch()
        (self.root / "README.md").touch()

    @property
    def data(self) -> Path:
        return self.data_root / purge.clone_id()

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
    monkeypatch.setattr(purge, "data_root", lambda: made.data_root)
    monkeypatch.setattr(purge, "_system_user_is_ours", lambda: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CONFIRM", purge.WORD)
    return made


def test_everything_goes_but_the_clone_itself(machine: Machine) -> None:
    (machine.data / "local" / "postgres").mkdir(parents=True)
    assert purge.main() == 0
    assert sorted(path.name for path in machine.root.rglob("*")) == ["README.md", "infra"]
    assert not machine.cache.exists()
    assert not machine.data_root.exists()
    assert purge.main() == 0


def test_what_other_clones_use_stays(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.data.mkdir()
    (machine.data_root / OTHER_CLONE / "local").mkdir(parents=True)
    assert purge.main() == 0
    assert not machine.data.exists()
    assert (machine.data_root / OTHER_CLONE / "local").exists()
    assert machine.cache.exists()
    assert "kept, because other clones have data here" in capsys.readouterr().out


def test_stacks_with_resources_are_taken_down_first(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has_stack("local", "postgres")
    machine.has_stack("empty")
    taken: list[str] = []
    monkeypatch.setattr(purge, "take_down", taken.append)
    assert purge.look().stacks == ["local"]
    assert purge.main() == 0
    assert taken == ["local"]


def test_a_stack_that_stays_up_keeps_everything(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has_stack("local", "postgres")
    machine.data.mkdir()
    (machine.root / "tools").mkdir()
    script = machine.root / "tools" / "environment.sh"
    script.write_text('#!/bin/sh\necho "$STACK $DATA $CONFIRM $PULUMI_BACKEND_URL $*" >told\nexit 1\n')
    script.chmod(0o755)
    assert purge.main() == 1
    assert (machine.root / "told").read_text() == f"local delete delete file://{machine.state} tools/stack.sh down\n"
    assert machine.data.exists()
    assert machine.state.exists()


def test_data_that_a_process_works_in_is_not_deleted(machine: Machine) -> None:
    machine.data.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=machine.data, stdin=subprocess.PIPE) as child:
        with pytest.raises(ToolError, match=rf"kill {child.pid}\b"):
            purge.carry_out(purge.look())
        child.communicate(b"\n", timeout=20)
    assert machine.data.exists()


@pytest.mark.parametrize("word", ["", "yes", "PURGE", "purge "])
def test_without_the_word_nothing_goes(machine: Machine, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("CONFIRM", word)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert purge.main() == 1
    assert machine.cache.exists()
    assert machine.state.exists()


def test_without_anybody_to_ask_it_says_both_ways_to_agree(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONFIRM", "")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert purge.main() == 1
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
    assert purge.main() == 0
    assert stack_file.exists()
    assert passphrase.exists()
    assert not machine.state.exists()
    told = capsys.readouterr()
    assert f"only you can delete: {stack_file}" in told.out
    assert "only the clone itself" not in told.err
    assert f"left beside the clone itself, as said: {stack_file}, {passphrase}" in told.err
