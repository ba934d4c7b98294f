"""tools/stack.sh: what it asks of Pulumi. A script stands in for `pulumi` and writes down what it was asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.settings import BUILT_TARGETS, Target
from tools.paths import ROOT

FAKE_PULUMI = """#!/bin/sh
echo "$@" >>"$FAKE_LOG"
case "$*" in
    'stack export '*) echo '{}' ;;
    'stack ls --json') echo '[{"name": "organization/circlepay/dev"}]' ;;
    'stack init '*) mkdir -p "$FAKE_STACKS" && echo '{}' >"$FAKE_STACKS/$3.json" ;;
esac
case "$*" in "$FAKE_FAILING"*) echo "${FAKE_SAID:-}" >&2; exit "${FAKE_CODE:-1}" ;; esac
"""


class Clone:
    """A clone whose `pulumi` and `circlepay` only write down what they were asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".circlepay" / "state"
        self.stacks = self.state / ".pulumi" / "stacks" / "circlepay"
        self.log = root / "log"
        shutil.copytree(ROOT / "tools", root / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        self.programs = root / "bin"
        self.programs.mkdir()
        for name in ("pulumi", "circlepay"):
            (self.programs / name).write_text(FAKE_PULUMI.replace('"$@"', f'{name} "$@"', 1))
            (self.programs / name).chmod(0o755)

    def run(self, verb: str, terminal: int = subprocess.DEVNULL, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = dict(os.environ) | {"DATA": "keep", "STACK": "local", "PATH": path}
        environment |= {"PULUMI_BACKEND_URL": f"file://{self.state}"}
        environment |= {
            "FAKE_LOG": str(self.log),
            "FAKE_STACKS": str(self.stacks),
            "FAKE_FAILING": "nothing",
            "CONFIRM": "",
        }
        self.log.write_text("")
        return subprocess.run(
            ["tools/stack.sh", verb],
            cwd=self.root,
            env=environment | variables,
            stdin=terminal,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def run_on_a_terminal(self, verb: str, typed: str, **variables: str) -> tuple[int, str]:
        """Runs it on a terminal of its own where `typed` is typed; the exit code and what the terminal showed."""
        ours, its = os.openpty()
        try:
            os.write(ours, typed.encode())
            done = self.run(verb, terminal=its, **variables)
            return done.returncode, done.stdout + done.stderr
        finally:
            os.close(ours)
            os.close(its)

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()

    def has_stack(self, name: str = "local", **latest: object) -> None:
        self.stacks.mkdir(parents=True, exist_ok=True)
        (self.stacks / f"{name}.json").write_text(json.dumps({"checkpoint": {"latest": latest}}))


TOLD = "--yes --skip-preview --json --non-interactive --stack local"
UP = f"pulumi up {TOLD}"
KEEP = f"pulumi destroy --exclude-protected {TOLD}"
DELETE = f"pulumi destroy {TOLD}"
UNPROTECT = "pulumi state unprotect --all --yes --stack local"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "error: could not create secrets manager for new stack: incorrect passphrase",
            "circlepay: make stack local: Pulumi.local.yaml: its encryptionsalt belongs to another passphrase\n  -> ",
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
    assert clone.asked() == ["pulumi stack init local", UP, "circlepay summary"]
    assert clone.run("up").returncode == 0
    assert clone.asked() == [UP, "circlepay summary"]


def test_a_failed_up_has_no_summary_and_fails(clone: Clone) -> None:
    assert clone.run("up", FAKE_FAILING="up").returncode == 1
    assert "circlepay summary" not in clone.asked()


def test_elsewhere_pulumi_is_asked_which_stacks_there_are(clone: Clone) -> None:
    clone.run("up", PULUMI_BACKEND_URL="s3://bucket", STACK="dev")
    assert clone.asked()[:2] == ["pulumi stack ls --json", UP.replace("local", "dev")]
    clone.run("up", PULUMI_BACKEND_URL="s3://bucket", STACK="prod")
    assert clone.asked()[:2] == ["pulumi stack ls --json", "pulumi stack init prod --no-select"]


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_committed_settings_are_written_as_pulumi_writes_them(name: str) -> None:
    # It makes texts of all single values when it adds the salt, and the file would differ in git.
    config = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())["config"]
    assert [setting for setting, value in config.items() if not isinstance(value, str | dict | list)] == []


@pytest.mark.parametrize("verb", ["up", "preview"])
@pytest.mark.parametrize("target", sorted(set(Target) - BUILT_TARGETS))
def test_a_stack_that_cannot_be_brought_up_is_not_made(clone: Clone, verb: str, target: str) -> None:
    (clone.root / "Pulumi.dev.yaml").write_text(f"config:\n  circlepay:target: {target}\n")
    result = clone.run(verb, STACK="dev")
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
    assert clone.asked() == ["pulumi stack init local", UP, "circlepay summary"]


def test_a_stack_that_cannot_be_made_ends_the_run(clone: Clone) -> None:
    assert clone.run("up", FAKE_FAILING="stack init", FAKE_STACKS=str(clone.root / "elsewhere")).returncode == 1
    assert clone.asked() == ["pulumi stack init local"]


@pytest.mark.parametrize(("code", "made_of_it"), [("0", 0), ("2", 0), ("1", 1)])
def test_preview_is_circlepays_and_differences_are_no_failure(clone: Clone, code: str, made_of_it: int) -> None:
    clone.has_stack()
    assert clone.run("preview", FAKE_FAILING="preview", FAKE_CODE=code).returncode == made_of_it
    assert clone.asked() == ["circlepay preview --stack local"]


def test_what_a_killed_run_had_begun_is_read_first(clone: Clone) -> None:
    clone.has_stack(pending_operations=[{"resource": {"urn": "urn:x"}, "type": "creating"}])
    result = clone.run("up")
    assert clone.asked()[0].startswith("pulumi refresh --yes --skip-preview --clear-pending-creates")
    assert clone.asked()[1:] == [UP, "circlepay summary"]
    assert "cut short" in result.stderr


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


def test_down_keeps_what_is_protected(clone: Clone) -> None:
    clone.has_stack()
    assert clone.run("down").returncode == 0
    assert clone.asked() == [KEEP]


FOLDER = {"urn": "urn:f", "type": "circlepay:index:ServerFolder", "outputs": {"folder": "/srv/data/postgres"}}


def test_down_says_what_is_kept_and_how_to_go_on(clone: Clone) -> None:
    clone.has_stack(resources=[FOLDER])
    told = clone.run("down").stdout
    assert "are stopped; kept: /srv/data/postgres\n" in told
    assert "`make up` goes on from there" in told


def test_elsewhere_the_state_says_where_the_data_is(clone: Clone) -> None:
    clone.run("down", PULUMI_BACKEND_URL="s3://bucket", STACK="dev")
    assert clone.asked()[-1] == "pulumi stack export --stack dev"


@pytest.mark.parametrize("typed", ["\n", "yes\n", "purge\n", "\x04"])
def test_on_a_terminal_the_data_is_not_deleted_without_the_word(clone: Clone, typed: str) -> None:
    clone.has_stack(resources=[FOLDER])
    code, told = clone.run_on_a_terminal("down", typed, DATA="delete")
    assert code == 1
    assert "This deletes for good: /srv/data/postgres" in told
    assert clone.asked() == []


@pytest.mark.parametrize(("typed", "confirm"), [("delete\n", ""), ("\x04", "delete")])
def test_the_word_is_typed_or_given_beforehand(clone: Clone, typed: str, confirm: str) -> None:
    clone.has_stack(resources=[FOLDER])
    code, told = clone.run_on_a_terminal("down", typed, DATA="delete", CONFIRM=confirm)
    assert code == 0
    assert "deleted: /srv/data/postgres" in told
    assert clone.asked() == [UNPROTECT, DELETE]


def test_another_word_given_beforehand_deletes_nothing(clone: Clone) -> None:
    clone.has_stack()
    assert clone.run("down", DATA="delete", CONFIRM="yes").returncode == 1
    assert clone.asked() == []


ENGINE = "unix:///run/engine.sock"
PLACE = {
    "urn": "urn:p",
    "type": "circlepay:index:ContainerPlace",
    "outputs": {"engine": ENGINE, "dataVolume": "redis_data", "filesVolume": "redis_files"},
}
VOLUME = {"urn": "urn:v", "type": "docker:index/volume:Volume", "outputs": {"name": "redis_data"}}
CLEAR = "python -m infra.operations.leftovers"


@pytest.fixture
def clone_with_engine(clone: Clone) -> Clone:
    """A clone with a server in a container, whose engine is only written down when it is asked for leftovers."""
    python = clone.programs / "python"
    python.write_text(
        f"""#!/bin/sh
case "$*" in
    *infra.operations.leftovers*)
        echo python "$@" >>"$FAKE_LOG"
        case "python $*" in "$FAKE_FAILING"*) exit 1 ;; esac ;;
    *) exec {sys.executable} "$@" ;;
esac
"""
    )
    python.chmod(0o755)
    clone.has_stack(resources=[PLACE, VOLUME])
    return clone


def test_down_says_which_volumes_are_kept(clone_with_engine: Clone) -> None:
    told = clone_with_engine.run("down").stdout
    assert "are stopped; kept: volume redis_data\n" in told


def test_leftovers_on_the_engine_go_first_since_pulumi_could_not_delete_what_they_use(clone_with_engine: Clone) -> None:
    assert clone_with_engine.run("down").returncode == 0
    assert clone_with_engine.asked() == [f"{CLEAR} halves local {ENGINE}", KEEP]


def test_deleting_leaves_nothing_of_the_stack_on_the_engine(clone_with_engine: Clone) -> None:
    done = clone_with_engine.run("down", DATA="delete")
    assert "deleted: volume redis_data\n" in done.stdout
    assert clone_with_engine.asked() == [
        f"{CLEAR} halves local {ENGINE}",
        UNPROTECT,
        DELETE,
        f"{CLEAR} stack local {ENGINE}",
    ]


def test_an_engine_that_does_not_answer_stops_a_down_before_it_begins(clone_with_engine: Clone) -> None:
    assert clone_with_engine.run("down", FAKE_FAILING=CLEAR).returncode == 1
    assert clone_with_engine.asked() == [f"{CLEAR} halves local {ENGINE}"]


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


def test_down_with_delete_takes_the_protection_off_first(clone: Clone) -> None:
    clone.has_stack()
    assert clone.run("down", DATA="delete").returncode == 0
    assert clone.asked() == [UNPROTECT, DELETE]


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
    assert clone.run("down", DATA=data).returncode == 1
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
