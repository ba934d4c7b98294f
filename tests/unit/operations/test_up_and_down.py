"""`up`, `preview` and `down`: what they ask of Pulumi. A script stands in for it and writes down what it was asked."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from infra import cli
from infra.operations import adopt, down, leftovers, preview, up
from infra.settings.model import BUILT_TARGETS, Target
from infra.targets import data_root
from tests.support.locations import container_location, location_resource, process_location
from tools.paths import ROOT
from tools.running import ToolError

FAKE_PULUMI = """#!/bin/sh
echo pulumi "$@" >>"$FAKE_LOG"
case "$*" in
    'stack export '*) echo '{}' ;;
    'stack ls --json '*) echo '[{"name": "organization/circlepay/dev"}]' ;;
    'stack init '*) mkdir -p "$FAKE_STACKS" && echo '{}' >"$FAKE_STACKS/$3.json" ;;
esac
case "$*" in "$FAKE_FAILING"*) echo "${FAKE_SAID:-}" >&2; exit 1 ;; esac
"""


class Told(NamedTuple):
    """How a verb ended and what it told."""

    returncode: int
    stdout: str
    stderr: str


class Clone:
    """A clone whose `pulumi` only writes down what it was asked, as do summaries, and what removes leftovers of engines."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.root, self.monkeypatch, self.capfd = root, monkeypatch, capfd
        self.state = root / ".circlepay" / "state"
        self.stacks = self.state / ".pulumi" / "stacks" / "circlepay"
        self.state.mkdir(parents=True)
        self.log = root / "log"
        program = root / "bin" / "pulumi"
        program.parent.mkdir()
        program.write_text(FAKE_PULUMI)
        program.chmod(0o755)
        monkeypatch.setattr(data_root, "default", lambda: root / "data")
        for module in (up, down, adopt):
            monkeypatch.setattr(module, "run", functools.partial(module.run, project_root=root))
        monkeypatch.setattr(up, "create", functools.partial(up.create, project_root=root))
        monkeypatch.setattr(cli, "_print_summary", self._summarizes)
        monkeypatch.setattr(leftovers, "remove", self._removes)

    def _summarizes(self, stack: str, as_json: bool) -> int:
        self._writes_down("circlepay summary")
        return 0

    def _writes_down(self, line: str) -> None:
        with self.log.open("a") as log:
            log.write(f"{line}\n")

    def _removes(self, what: str, stack: str, engines: Sequence[str]) -> None:
        line = " ".join([CLEAR, what, stack, *engines])
        self._writes_down(line)
        if line.startswith(os.environ["FAKE_FAILING"]):
            raise ToolError("there is no container engine")

    def run(self, *arguments: str, **variables: str) -> Told:
        defaults = {"STACK": "local", "DATA": "keep", "CONFIRM": "", "PULUMI_BACKEND_URL": f"file://{self.state}"}
        fake = {"FAKE_LOG": str(self.log), "FAKE_STACKS": str(self.stacks), "FAKE_FAILING": "nothing"}
        self.log.write_text("")
        with self.monkeypatch.context() as patched:
            for name, value in (defaults | fake | variables).items():
                patched.setenv(name, value)
            patched.setenv("PATH", f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}")
            code = cli.run([*arguments])
        return Told(code, *self.capfd.readouterr())

    def run_on_a_terminal(self, verb: str, typed: str, **variables: str) -> Told:
        """Runs it on a terminal of its own where `typed` is typed."""
        ours, its = os.openpty()
        with os.fdopen(ours, "wb", buffering=0) as keyboard, os.fdopen(its) as terminal:
            keyboard.write(typed.encode())
            with self.monkeypatch.context() as patched:
                patched.setattr("sys.stdin", terminal)
                return self.run(verb, **variables)

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()

    def has_stack(self, name: str = "local", **latest: object) -> None:
        self.stacks.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"checkpoint": {"latest": latest}})
        for path in ("/srv/postgres", "/nowhere"):
            text = text.replace(f'"projectRoot": "{path}"', f'"projectRoot": "{self.root}"')
        (self.stacks / f"{name}.json").write_text(text)


TOLD = "--yes --skip-preview --json --non-interactive --stack local"
UP = f"pulumi up {TOLD}"
KEEP = f"pulumi destroy --exclude-protected {TOLD}"
DELETE = f"pulumi destroy {TOLD}"
UNPROTECT = "pulumi state unprotect --all --yes --stack local --non-interactive"
INIT = "pulumi stack init local --non-interactive"
LIST = "pulumi stack ls --json --non-interactive"
CLEAR = "leftovers"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Clone:
    return Clone(tmp_path, monkeypatch, capfd)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "error: could not create secrets manager for new stack: incorrect passphrase",
            "circlepay: create stack local: Pulumi.local.yaml: its encryptionsalt belongs to another passphrase\n  -> ",
        ),
        ("error: no such backend", "error: no such backend\n"),
    ],
)
def test_a_stack_that_cannot_be_made_says_why_and_nothing_is_begun(clone: Clone, said: str, told: str) -> None:
    nowhere = str(clone.root / "log" / "nowhere")
    done = clone.run("up", FAKE_FAILING="stack init", FAKE_SAID=said, FAKE_STACKS=nowhere)
    assert done.returncode == 1
    assert told in done.stderr
    assert clone.asked()[-1].startswith("pulumi stack init")


def test_the_first_up_makes_the_stack_and_the_second_does_not(clone: Clone) -> None:
    assert clone.run("up").returncode == 0
    assert clone.asked() == [INIT, UP, "circlepay summary"]
    assert clone.run("up").returncode == 0
    assert clone.asked() == [UP, "circlepay summary"]


def test_a_failed_up_has_no_summary_and_fails(clone: Clone) -> None:
    assert clone.run("up", FAKE_FAILING="up").returncode == 1
    assert "circlepay summary" not in clone.asked()


def test_elsewhere_pulumi_is_asked_which_stacks_there_are(clone: Clone) -> None:
    clone.run("up", PULUMI_BACKEND_URL="s3://bucket", STACK="dev")
    assert clone.asked()[:2] == [LIST, UP.replace("local", "dev")]
    clone.run("up", PULUMI_BACKEND_URL="s3://bucket", STACK="prod")
    assert clone.asked()[:2] == [LIST, "pulumi stack init prod --no-select --non-interactive"]


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_committed_settings_are_written_as_pulumi_writes_them(name: str) -> None:
    # It makes texts of all single values when it adds the salt, and the file would differ in git.
    config = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())["config"]
    assert [setting for setting, value in config.items() if not isinstance(value, str | dict | list)] == []


@pytest.mark.parametrize("verb", [("up",), ("preview", "--create")])
@pytest.mark.parametrize("target", sorted(set(Target) - BUILT_TARGETS))
def test_a_stack_that_cannot_be_brought_up_is_not_made(clone: Clone, verb: tuple[str, ...], target: str) -> None:
    (clone.root / "Pulumi.dev.yaml").write_text(f"config:\n  circlepay:target: {target}\n")
    result = clone.run(*verb, STACK="dev")
    assert result.returncode == 1
    assert "is not built yet" in result.stderr
    assert clone.asked() == []


@pytest.mark.parametrize("target", sorted(BUILT_TARGETS))
def test_one_that_can_is(clone: Clone, target: str) -> None:
    (clone.root / "Pulumi.dev.yaml").write_text(f"config:\n  circlepay:target: {target}\n")
    assert clone.run("up", STACK="dev").returncode == 0
    assert UP.replace("local", "dev") in clone.asked()


def test_of_two_that_make_the_stack_at_once_the_second_goes_on(clone: Clone) -> None:
    assert clone.run("up", FAKE_FAILING="stack init").returncode == 0  # it failed, and the stack is there
    assert clone.asked() == [INIT, UP, "circlepay summary"]


def test_a_stack_that_cannot_be_made_ends_the_run(clone: Clone) -> None:
    assert clone.run("up", FAKE_FAILING="stack init", FAKE_STACKS=str(clone.root / "elsewhere")).returncode == 1
    assert clone.asked() == [INIT]


@pytest.mark.parametrize(("arguments", "asked"), [((), []), (("--create",), [INIT])])
def test_preview_makes_the_stack_only_where_asked(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], asked: list[str]
) -> None:
    monkeypatch.setattr(preview, "run", lambda stack: preview.Preview((), ()))
    assert clone.run("preview", *arguments).returncode == 0
    assert clone.asked() == asked


def test_a_preview_of_a_mistyped_stack_makes_nothing(clone: Clone) -> None:
    (clone.root / "Pulumi.dev.yaml").write_text("config:\n  circlepay:target: processes\n")
    result = clone.run("preview", "--create", STACK="dve")
    assert result.returncode == 1
    assert (
        "no Pulumi.dve.yaml; nothing was made\n  -> stacks with a file: local, dev; `make up STACK=dve`"
        in result.stderr
    )
    assert clone.asked() == []
    assert not (clone.root / "Pulumi.dve.yaml").exists()


def test_what_a_killed_run_had_begun_is_read_first(clone: Clone) -> None:
    clone.has_stack(pending_operations=[{"resource": {"urn": "urn:x"}, "type": "creating"}])
    result = clone.run("up")
    assert clone.asked()[0].startswith("pulumi refresh --yes --skip-preview --clear-pending-creates")
    assert clone.asked()[1:] == [UP, "circlepay summary"]
    assert "was interrupted" in result.stderr


@pytest.mark.parametrize("verb", ["up", "down"])
def test_what_a_kill_left_torn_is_mended_before_pulumi_looks(clone: Clone, verb: str) -> None:
    clone.has_stack()
    whole = (clone.stacks / "local.json").read_text()
    attributes = clone.stacks / "local.json.attrs"
    attributes.touch()
    assert clone.run(verb).returncode == 0
    assert not attributes.exists()
    (clone.stacks / "local.json").write_text("")
    (clone.stacks / "local.json.bak").write_text(whole)
    assert clone.run(verb).returncode == 0
    assert (clone.stacks / "local.json").read_text() == whole


FOLDER = location_resource(process_location("postgres", Path("/srv/postgres"), 5432))


def test_down_says_what_is_kept_and_how_to_go_on(clone: Clone) -> None:
    clone.has_stack(resources=[FOLDER])
    told = clone.run("down").stdout
    assert "are stopped; kept: /srv/postgres/data\n" in told
    assert "`make up` continues from there" in told


def test_elsewhere_the_state_says_where_the_data_is(clone: Clone) -> None:
    clone.run("down", PULUMI_BACKEND_URL="s3://bucket", STACK="dev")
    assert clone.asked()[-1] == "pulumi stack export --stack dev --non-interactive"


@pytest.mark.parametrize("typed", ["\n", "yes\n", "purge\n", "\x04"])
def test_on_a_terminal_the_data_is_not_deleted_without_the_word(clone: Clone, typed: str) -> None:
    clone.has_stack(resources=[FOLDER])
    told = clone.run_on_a_terminal("down", typed, DATA="delete")
    assert told.returncode == 1
    assert "This permanently deletes: /srv/postgres/data" in told.stderr
    assert "circlepay: nothing was deleted\n" in told.stderr
    assert clone.asked() == []


@pytest.mark.parametrize(("typed", "confirm"), [("delete\n", ""), ("\x04", "delete")])
def test_the_word_is_typed_or_given_beforehand(clone: Clone, typed: str, confirm: str) -> None:
    clone.has_stack(resources=[FOLDER])
    told = clone.run_on_a_terminal("down", typed, DATA="delete", CONFIRM=confirm)
    assert told.returncode == 0
    assert "deleted: /srv/postgres/data" in told.stdout
    assert clone.asked() == [UNPROTECT, DELETE]


def test_another_word_given_beforehand_deletes_nothing(clone: Clone) -> None:
    clone.has_stack()
    told = clone.run("down", DATA="delete", CONFIRM="yes")
    assert told.returncode == 1
    assert "CONFIRM=yes is not the word delete; nothing was deleted" in told.stderr
    assert clone.asked() == []


ENGINE = "unix:///run/engine.sock"
PLACE = location_resource(container_location("redis", 6379, ENGINE))
VOLUME = {"urn": "urn:v", "type": "docker:index/volume:Volume", "outputs": {"name": "redis_data"}}


@pytest.mark.parametrize("resource", [FOLDER, PLACE], ids=["folder", "container"])
@pytest.mark.parametrize("arguments", [("up",), ("down",), ("down", "--data", "delete")], ids=" ".join)
def test_a_copied_clone_does_nothing_to_the_originals_servers(
    clone: Clone, tmp_path: Path, resource: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    clone.has_stack(resources=[resource])
    original = tmp_path / "original"
    (original / ".circlepay").mkdir(parents=True)
    (original / "Pulumi.yaml").touch()
    state = clone.stacks / "local.json"
    state.write_text(state.read_text().replace(f'"projectRoot": "{clone.root}"', f'"projectRoot": "{original}"'))
    done = clone.run(*arguments)
    assert (done.returncode, clone.asked()) == (1, [])
    assert f"this is a copy of the clone in {original}" in done.stderr
    assert f"copy of the clone in {original}" in clone.run("adopt").stderr
    original.rename(tmp_path / "gone")
    done = clone.run(*arguments)
    assert (done.returncode, clone.asked()) == (1, [])
    assert "circlepay adopt" in done.stderr
    assert clone.run("adopt").stdout.startswith(f"the servers of stack local, made in {original}, are this clone's now")
    assert clone.run(*arguments).returncode == 0
    assert clone.run("adopt").stdout.startswith("the servers of stack local are this clone's own already")


@pytest.fixture
def clone_with_engine(clone: Clone) -> Clone:
    """A clone with a server in a container."""
    clone.has_stack(resources=[PLACE, VOLUME])
    return clone


def test_leftovers_on_the_engine_go_first_since_pulumi_could_not_delete_what_they_use(clone_with_engine: Clone) -> None:
    done = clone_with_engine.run("down")
    assert (done.returncode, "`docker volume prune --all` deletes it" in done.stdout) == (0, True)
    assert clone_with_engine.asked() == [f"{CLEAR} unfinished local {ENGINE}", KEEP]


def test_deleting_leaves_nothing_of_the_stack_on_the_engine(clone_with_engine: Clone) -> None:
    done = clone_with_engine.run("down", DATA="delete")
    assert "deleted: volume redis_data\n" in done.stdout
    assert clone_with_engine.asked() == [
        f"{CLEAR} unfinished local {ENGINE}",
        UNPROTECT,
        DELETE,
        f"{CLEAR} stack local {ENGINE}",
    ]


def test_an_engine_that_does_not_answer_stops_a_down_before_it_begins(clone_with_engine: Clone) -> None:
    assert clone_with_engine.run("down", FAKE_FAILING=CLEAR).returncode == 1
    assert clone_with_engine.asked() == [f"{CLEAR} unfinished local {ENGINE}"]


@pytest.mark.parametrize("cut_at", ["destroy", f"{CLEAR} stack"])
def test_a_deletion_cut_short_remembers_the_engine(clone_with_engine: Clone, cut_at: str) -> None:
    assert clone_with_engine.run("down", DATA="delete", FAKE_FAILING=cut_at).returncode == 1
    clone_with_engine.has_stack()  # Pulumi had deleted all it knows of
    assert clone_with_engine.run("down", DATA="delete").returncode == 0
    assert clone_with_engine.asked()[-1] == f"{CLEAR} stack local {ENGINE}"
    assert clone_with_engine.run("down").returncode == 0
    assert clone_with_engine.asked() == [KEEP]


def test_a_stack_of_processes_asks_no_engine(clone_with_engine: Clone) -> None:
    clone_with_engine.has_stack(resources=[FOLDER])
    assert clone_with_engine.run("down", DATA="delete").returncode == 0
    assert clone_with_engine.asked() == [UNPROTECT, DELETE]


def test_a_deletion_cut_short_keeps_a_plain_down_from_deleting(clone: Clone) -> None:
    clone.has_stack()
    assert clone.run("down", DATA="delete", FAKE_FAILING="destroy").returncode == 1
    refused = clone.run("down")
    assert refused.returncode == 1
    assert clone.asked() == []
    assert "make down DATA=delete" in refused.stderr


@pytest.mark.parametrize("mended_by", [("up", "keep"), ("down", "delete")])
def test_until_the_deletion_is_finished_or_the_data_protected_again(clone: Clone, mended_by: tuple[str, str]) -> None:
    clone.has_stack()
    clone.run("down", DATA="delete", FAKE_FAILING="destroy")
    assert clone.run(mended_by[0], DATA=mended_by[1]).returncode == 0
    assert clone.run("down").returncode == 0
    assert clone.asked() == [KEEP]


def test_down_without_a_stack_has_nothing_to_do(clone: Clone) -> None:
    result = clone.run("down")
    assert result.returncode == 0
    assert "there is no stack local" in result.stderr
    assert clone.asked() == []


@pytest.mark.parametrize("data", ["Delete", "yes", "delete "])
def test_any_other_word_for_the_data_does_nothing(clone: Clone, data: str) -> None:
    clone.has_stack()
    told = clone.run("down", DATA=data)
    assert told.returncode == 1
    assert told.stderr == f"circlepay: DATA={data} is neither keep nor delete; nothing was done\n"
    assert clone.asked() == []


def test_a_held_stack_is_not_touched(clone: Clone) -> None:
    clone.has_stack()
    lock = clone.state / ".pulumi" / "locks" / "organization" / "circlepay" / "local" / "1.json"
    lock.parent.mkdir(parents=True)
    content = {"pid": 1, "username": "somebody", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00.123456789Z"}
    lock.write_text(json.dumps(content))
    result = clone.run("up")
    assert result.returncode == 1
    assert "somebody on elsewhere" in result.stderr
    assert clone.asked() == []
