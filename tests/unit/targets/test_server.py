"""The plan of a server: from what is there and what is declared to what is to be done, without any machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.changes import Change, Effect
from infra.errors import TargetError
from infra.targets import lifecycle
from infra.targets import server as servers
from infra.targets.machine import PRIVATE_FOLDER, Applied, DataKind, FileState, ProcessState
from infra.targets.server import Facts, Plan, Server
from infra.targets.spec import ServerFile, ServerSpec
from tests.machines.memory import MemoryMachine
from tests.machines.stages import location_in_memory
from tests.support import dummy_product
from tests.support.dummy_product import SECRETS

SPEC = dummy_product.spec()
LOCATION = location_in_memory()
CONFIG, PASSWORD, INITIAL = "config/dummy.conf", "secrets/password", "secrets/initial"


def declared(spec: ServerSpec = SPEC) -> Server:
    return Server(MemoryMachine(LOCATION, spec), SECRETS)


DECLARED = declared()
FILES = {
    **dict.fromkeys(("config", "secrets", "logs", "data"), PRIVATE_FOLDER),
    **{path: FileState.of(DECLARED.texts[path]) for path in (CONFIG, PASSWORD)},
}
RUNNING = ProcessState(running=True, identity="1", problem="", applied=DECLARED.applied)
AS_DECLARED = Facts(FILES, DataKind.PRESENT, RUNNING, version="3.2")


def with_files(**changed: FileState | None) -> Facts:
    """As declared, but for some files; None: it is not there."""
    names = {"config_file": CONFIG, "password": PASSWORD, "initial": INITIAL}
    files = {**FILES, **{names.get(name, name): state for name, state in changed.items()}}
    return replace(AS_DECLARED, files={path: state for path, state in files.items() if state is not None})


def with_process(**changed: Any) -> Facts:
    """As declared, but for its process."""
    return replace(AS_DECLARED, process=replace(RUNNING, **changed))


def shown(plan: Plan) -> list[tuple[str, str]]:
    return [(change.action, change.subject) for change in plan.changes]


STOPPED = replace(AS_DECLARED, process=ProcessState(applied=DECLARED.applied), version="")
STARTED_ANEW = replace(RUNNING, applied=Applied("another", DECLARED.applied.reload))
UNREAD = Applied(DECLARED.applied.restart, "another")
ADJUSTMENT = Change("limits", "set", "it has others")
EDITED = FileState.of("by hand")

RESTART, START, RELOAD = (("restart", "server dummy"), ("start", "server dummy"), ("reload", "server dummy"))
WRITE_CONFIG, WRITE_PASSWORD = (("write", f"file {path} of dummy") for path in (CONFIG, PASSWORD))


def test_nothing_differs_nothing_is_planned() -> None:
    assert servers.plan(AS_DECLARED, DECLARED) == Plan([])


@pytest.mark.parametrize(
    ("facts", "expected", "done"),
    [
        (Facts(), [("create", "data of dummy"), START], {"initialize", "start", "files", "folders"}),
        (replace(STOPPED, data=DataKind.UNFINISHED), [("create", "data of dummy"), START], {"initialize", "start"}),
        (STOPPED, [START], {"start"}),
        (replace(AS_DECLARED, data=DataKind.ABSENT), [("create", "data of dummy"), RESTART], {"initialize", "restart"}),
        (with_files(config_file=EDITED), [WRITE_CONFIG], {"files", "reload"}),
        (with_files(config_file=None), [WRITE_CONFIG], {"files", "reload"}),
        (with_files(config_file=replace(FILES[CONFIG], mode=0o644)), [WRITE_CONFIG], {"files", "reload"}),
        (replace(AS_DECLARED, reload="a file was changed"), [RELOAD], {"reload"}),
        (replace(AS_DECLARED, restart="it has other settings"), [RESTART], {"restart"}),
        (replace(AS_DECLARED, reload="a file was changed", restart="others"), [RESTART], {"restart"}),
        (with_files(password=EDITED), [WRITE_PASSWORD], {"files"}),
        (with_files(initial=FileState.of("x")), [("delete", f"file {INITIAL} of dummy")], {"remove"}),
        (with_files(logs=None), [("set", "folder logs of dummy")], {"folders"}),
        (with_files(data=replace(PRIVATE_FOLDER, mode=0o755)), [("set", "folder data of dummy")], {"folders"}),
        (with_process(applied=STARTED_ANEW.applied), [RESTART], {"restart"}),
        (with_process(applied=Applied()), [RESTART], {"restart"}),
        (with_process(applied=UNREAD), [RELOAD], {"reload"}),
        (with_process(outdated="it runs other programs"), [RESTART], {"restart"}),
        (replace(AS_DECLARED, version="", refused=True, problem="no"), [RESTART], {"restart"}),
        (replace(AS_DECLARED, version="", problem="not yet"), [("await", "server dummy")], set()),
        (with_process(adjustments=(ADJUSTMENT,)), [("set", "limits")], set()),
    ],
)
def test_each_difference_is_one_change(facts: Facts, expected: list[tuple[str, str]], done: set[str]) -> None:
    plan = servers.plan(facts, DECLARED)
    assert shown(plan) == expected
    found = {name for name in Plan.__dataclass_fields__ if name != "changes" and getattr(plan, name)}
    assert found == done


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (with_files(initial=None), []),
        (replace(with_files(data=None), data=DataKind.ABSENT, process=ProcessState(), version=""), ["create", "start"]),
        (replace(STOPPED, process=ProcessState(applied=Applied(), outdated="by far", crashed=True)), ["start"]),
        (replace(STOPPED, refused=True), ["start"]),
        (replace(with_process(suspended=True), version=""), []),
        (with_process(crashed=True), []),
        (with_process(identity="another"), []),
        (replace(AS_DECLARED, problem="a word, and it answers"), []),
    ],
    ids=[
        "once and gone",
        "the folder of no data",
        "what a stopped one has read",
        "refused by a stopped one",
        "suspended",
        "crashed before",
        "another process",
        "answered",
    ],
)
def test_what_does_not_matter_is_not_planned(facts: Facts, expected: list[str]) -> None:
    assert [change.action for change in servers.plan(facts, DECLARED).changes] == expected


@pytest.mark.parametrize(("user", "named"), [("circlepay", "circlepay"), ("", "the user who runs this")])
def test_the_user_of_a_server_is_named(user: str, named: str) -> None:
    server = Server(MemoryMachine(replace(LOCATION, user=user), SPEC), SECRETS)
    (change,) = servers.plan(with_files(logs=replace(PRIVATE_FOLDER, owner="uid 1")), server).changes
    assert change.reason == f"it belongs to uid 1, declared {named}"


def test_effects_are_those_that_take_place() -> None:
    """A file of the start says that it restarts where that happens, and one that is read again that it is reloaded."""
    both = with_files(config_file=EDITED, password=EDITED)
    effects = [change.effect for change in servers.plan(both, DECLARED).changes]
    assert effects == [Effect.RELOAD, Effect.LIVE]
    restarted = replace(both, process=STARTED_ANEW)
    *writes, restart = servers.plan(restarted, DECLARED).changes
    assert [change.effect for change in writes] == [Effect.LIVE, Effect.RESTART]
    assert (restart.effect, restart.lock) == (Effect.RESTART, "every connection is closed")
    stopped = replace(both, process=STOPPED.process, version="")
    assert {change.effect for change in servers.plan(stopped, DECLARED).changes} == {Effect.LIVE}


def test_a_restart_makes_a_reload_needless() -> None:
    plan = servers.plan(with_process(applied=Applied("another", "another")), DECLARED)
    assert (plan.restart, plan.reload, shown(plan)) == (True, False, [RESTART])


def test_what_is_around_a_process_is_adjusted_before_anything_else() -> None:
    facts = replace(with_process(adjustments=(ADJUSTMENT,), applied=STARTED_ANEW.applied))
    assert shown(servers.plan(facts, DECLARED)) == [("set", "limits"), RESTART]


# --- what is noted


def test_the_note_knows_what_is_only_read_at_the_start() -> None:
    live, fixed = ServerFile("config", "live", "a"), ServerFile("secrets", "fixed", "{secret:password}", restart=True)

    def noted(*files: ServerFile, given: str = "one", port: int = 1, **changed: Any) -> Applied:
        spec = replace(SPEC, files=files, **changed)
        location = replace(LOCATION, placeholders={**LOCATION.placeholders, "port": str(port)})
        return Server(MemoryMachine(location, spec), {"password": given}).applied

    before = noted(live, fixed)
    reloaded = noted(ServerFile("config", "live", "b"), fixed)
    assert reloaded.restart == before.restart
    assert reloaded.reload != before.reload
    for other in (
        noted(live, fixed, given="two"),
        noted(live, fixed, restart_key="k"),
        noted(live, fixed, start=("server", "-x")),
        noted(live, fixed, port=2),
    ):
        assert other.restart != before.restart
        assert other.reload == before.reload


def test_without_a_reload_signal_nothing_is_read_again() -> None:
    assert declared(replace(SPEC, reload_signal="")).applied.reload == ""


def test_what_two_notes_agree_on_is_known() -> None:
    assert Applied("a", "b").agreeing(Applied("a", "b")) == Applied("a", "b")
    assert Applied("a", "b").agreeing(Applied("x", "b")) == Applied("", "b")
    assert Applied("a", "b").agreeing(Applied("a", "x")) == Applied("a", "")


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null", '{"restart": "a", "surprise": 1}'])
def test_what_is_no_note_is_none(text: str | None) -> None:
    assert Applied.from_text(text) is None
    assert Applied.from_text(Applied("a", "b").to_text()) == Applied("a", "b")


# --- data's version


@pytest.mark.parametrize(("content", "fits"), [("3\n", True), ("3", True), ("2\n", False), ("30", False)])
def test_data_fits_its_own_version_only(content: str, fits: bool) -> None:
    machine = MemoryMachine(LOCATION, SPEC, {"data/VERSION": (content, 0o600)})
    if fits:
        lifecycle.check_format(machine)
    else:
        with pytest.raises(TargetError, match="made by version"):
            lifecycle.check_format(machine)


def test_data_without_a_format_fits_every_version() -> None:
    plain = replace(SPEC, data_format=replace(SPEC.data_format, file=""))
    lifecycle.check_format(MemoryMachine(LOCATION, plain, {"data/anything": ("", 0o600)}))
