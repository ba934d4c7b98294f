"""What every Machine promises, tested once. What only one kind of place can do has its tests beside that place's others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from infra.changes import Effect
from infra.errors import TargetError
from infra.targets import lifecycle
from infra.targets.machine import APPLIED_FILE, Applied
from infra.targets.spec import CredentialsRefused, DataFormat, Requirement
from tests.machines.stages import Stage
from tests.support.dummy_product import SECRETS
from tests.support.placements import wait_until
from tests.support.server_verbs import actions

OTHER = {"password": "another-password-now"}


def subject(stage: Stage, what: str = "server {}") -> str:
    return what.format(stage.spec().name)


# --- from nothing to running, and back


def test_from_nothing_to_running_and_a_second_time_nothing(stage: Stage) -> None:
    cold = [("create", subject(stage, "data of {}")), ("start", subject(stage))]
    assert actions(stage.plan()) == cold
    outcome = stage.outcome()
    assert actions(outcome.changes) == cold
    assert stage.loaded() == "hello"
    facts = stage.facts()
    assert (facts.process.running, facts.has_data, facts.version, facts.problem) == (True, True, outcome.version, "")
    process = stage.process()
    assert stage.plan() == []
    again = stage.outcome()
    assert (again.changes, again.version, stage.process()) == ([], outcome.version, process)


def test_looking_at_nothing_raises_nothing_and_makes_nothing(stage: Stage) -> None:
    for _ in range(2):
        facts = stage.facts()
        assert (facts.process.running, facts.version, facts.has_data) == (False, "", False)
        assert {path for path in facts.files if path != "data"} == set()


def test_files_are_as_declared_and_the_servers_alone(stage: Stage) -> None:
    stage.apply()
    server = stage.server()
    for file in server.spec.files:
        found = stage.look(file.path)
        if file.once:
            assert found is None, "only needed for the initialisation"
        else:
            assert found is not None
            assert (found.text, found.mode, found.own) == (server.texts[file.path], 0o600, True)
    for folder in ("config", "secrets", "logs", "data"):
        found = stage.look(folder)
        assert found is not None
        assert (found.mode, found.own) == (0o700, True), folder
    public = [path for path, text in server.texts.items() if SECRETS["password"] in text]
    assert {path.partition("/")[0] for path in public} == {"secrets"}


def test_the_record_of_what_it_has_read_holds_no_secret(stage: Stage) -> None:
    stage.apply()
    text = stage.text(APPLIED_FILE)
    assert Applied.from_text(text) == stage.server().applied
    assert SECRETS["password"] not in text


def test_stopped_and_started_it_opens_the_same_data_with_the_same_password(stage: Stage) -> None:
    stage.apply()
    stage.put("data/kept", "rows")
    process = stage.process()
    stage.stop()
    assert not stage.facts().process.running
    assert actions(stage.plan()) == [("start", subject(stage))]
    stage.stop()
    assert actions(stage.apply()) == [("start", subject(stage))]
    assert stage.process() != process
    assert stage.text("data/kept") == "rows"
    assert stage.plan() == []


def test_a_killed_server_comes_back(stage: Stage) -> None:
    stage.apply()
    stage.kill()
    facts = stage.facts()
    assert (facts.process.running, facts.version, facts.has_data) == (False, "", True)
    assert actions(stage.apply()) == [("start", subject(stage))]
    assert stage.plan() == []


@pytest.mark.parametrize("act", [Stage.apply, Stage.stop])
def test_a_server_that_was_stopped_by_a_signal_goes_on_and_can_be_stopped(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, act: Callable[[Stage], object]
) -> None:
    monkeypatch.setattr("infra.targets.server.READ_TIMEOUT", 0.3)
    stage.apply()
    process = stage.process()
    stage.halt()
    facts = stage.facts()
    assert (facts.process.running, facts.version, facts.problem) == (True, "", "it was stopped by a signal")
    assert actions(stage.plan()) == [("continue", subject(stage))]
    act(stage)
    assert stage.facts().process.running == (act is Stage.apply)
    stage.apply()
    assert stage.plan() == []
    assert (stage.process() == process) == (act is Stage.apply)


def test_a_stopped_server_that_never_was_is_nothing(stage: Stage) -> None:
    stage.stop()
    assert not stage.facts().process.running


def test_a_server_that_does_not_stop_is_reported_and_never_killed(stage: Stage) -> None:
    stubborn = replace(stage.spec(extra="stubborn"), stop_timeout=0.5)
    stage.apply(stubborn)
    process = stage.process()
    with pytest.raises(TargetError, match=r"it still runs 0 s after") as caught:
        stage.stop(stubborn)
    assert "not killed" in caught.value.hint
    assert stage.facts(stubborn).version
    assert stage.process() == process
    stage.kill()


# --- what is not as declared


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda stage, path: stage.put(path, "by hand"), "its content is not the declared one"),
        (lambda stage, path: stage.chmod(path, 0o644), "its mode is 0644, declared 0600"),
        (lambda stage, path: stage.remove(path), "is missing"),
    ],
)
def test_a_spoilt_file_is_repaired_without_a_restart_and_read_again(
    stage: Stage, spoil: Callable[[Stage, str], None], reason: str
) -> None:
    stage.apply()
    process = stage.process()
    for path, read_again in ((stage.live, True), (stage.password, False)):
        spoil(stage, path)
        (change,) = stage.plan()
        assert actions([change]) == [("write", subject(stage, f"file {path} of {{}}"))]
        assert change.reason == reason
        assert change.effect is (Effect.RELOAD if read_again else Effect.LIVE)
        assert stage.apply() == [change]
        assert stage.plan() == []
    assert stage.process() == process


@pytest.mark.parametrize("path", ["config/not-ours", "secrets/folder/not-ours"])
def test_a_file_that_is_not_ours_is_taken_away(stage: Stage, path: str) -> None:
    stage.apply()
    process = stage.process()
    stage.put(path, "by hand")
    (change,) = stage.plan()
    gone = path.removesuffix("/not-ours") if path.count("/") > 1 else path
    assert actions([change]) == [("delete", subject(stage, f"file {gone} of {{}}"))]
    assert change.reason == "it is none of the declared files"
    assert stage.apply() == [change]
    assert stage.look(gone) is None
    assert stage.plan() == []
    assert stage.process() == process
    assert stage.loaded() == "hello"


def test_an_edited_file_that_was_read_is_read_again_once_it_is_put_back(stage: Stage) -> None:
    stage.apply()
    stage.put(stage.live, stage.server(stage.spec("hacked")).texts[stage.live])
    stage.machine(stage.spec()).reload()
    wait_until(lambda: stage.loaded() == "hacked")
    stage.apply()
    wait_until(lambda: stage.loaded() == "hello")


@pytest.mark.parametrize("name", ["config", "secrets", "logs", "data"])
def test_an_opened_folder_is_closed(stage: Stage, name: str) -> None:
    stage.apply()
    process = stage.process()
    stage.chmod(name, 0o755)
    (change,) = stage.plan()
    assert change.subject == subject(stage, f"folder {name} of {{}}")
    assert change.reason == "its mode is 0755, declared 0700"
    assert stage.apply() == [change]
    assert stage.plan() == []
    assert stage.process() == process


@pytest.mark.parametrize("name", ["config", "logs"])
def test_a_folder_that_is_gone_is_made_again_with_its_files(stage: Stage, name: str) -> None:
    stage.apply()
    stage.remove(name)
    assert ("set", subject(stage, f"folder {name} of {{}}")) in actions(stage.plan())
    stage.apply()
    assert stage.plan() == []


def test_data_that_was_deleted_under_a_running_server_is_made_anew(stage: Stage) -> None:
    stage.apply()
    stage.remove("data")
    assert [change.action for change in stage.apply()] == ["create", "restart"]
    assert stage.plan() == []


# --- another declaration


def test_a_file_that_is_read_again_is_reloaded_without_a_restart(stage: Stage) -> None:
    stage.apply()
    process = stage.process()
    changed = stage.spec("good-evening")
    assert [(change.action, change.effect) for change in stage.apply(changed)] == [("write", Effect.RELOAD)]
    wait_until(lambda: stage.loaded() == "good-evening")
    assert stage.process() == process
    assert stage.plan(changed) == []


def test_without_a_reload_signal_a_file_is_only_written(stage: Stage) -> None:
    stage.apply(replace(stage.spec(), reload_signal=""))
    changed = replace(stage.spec("later"), reload_signal="")
    assert [change.effect for change in stage.apply(changed)] == [Effect.LIVE]
    assert stage.loaded() == "hello"
    assert stage.plan(changed) == []


def test_a_changed_password_restarts_and_the_old_one_is_refused(stage: Stage) -> None:
    stage.apply()
    process = stage.process()
    write, restart = stage.apply(secrets=OTHER)
    assert (write.action, write.effect) == ("write", Effect.RESTART)
    assert (restart.action, restart.effect, restart.lock) == ("restart", Effect.RESTART, "every connection is closed")
    assert stage.process() != process
    assert stage.plan(secrets=OTHER) == []
    assert stage.facts().refused


@pytest.mark.parametrize("stopped", [True, False])
def test_a_start_with_settings_that_are_in_no_file_is_recorded(stage: Stage, stopped: bool) -> None:
    stage.apply()
    other = replace(stage.spec(), restart_key="another")
    if stopped:
        stage.stop()
    assert actions(stage.apply(other)) == [("start" if stopped else "restart", subject(stage))]
    assert stage.plan(other) == []


def test_credentials_that_the_server_refuses_are_repaired_where_that_is_possible(stage: Stage) -> None:
    kept = stage.spec(kept="data")
    stage.apply(kept)
    assert stage.facts(kept, OTHER).refused
    (change,) = stage.apply(kept, OTHER)
    assert change.action == "restart"
    assert "it does not accept its credentials" in change.reason
    assert stage.plan(kept, OTHER) == []
    stage.stop(kept)
    assert actions(stage.apply(kept)) == [("start", subject(stage))]
    assert stage.plan(kept) == []


def test_a_server_that_refuses_its_own_credentials_says_so_after_one_restart(stage: Stage) -> None:
    stage.apply()
    process = stage.process()
    stuck = replace(stage.spec(), probe=f"{__name__}:refuse")
    assert stage.facts(stuck).refused
    with pytest.raises(CredentialsRefused):
        stage.apply(stuck)
    wait_until(lambda: stage.facts().version)
    assert stage.process() != process, "one restart was worth a try"


def refuse(*_: object, **__: object) -> str:
    raise CredentialsRefused("log in", "server", "no")


# --- data


def test_data_of_another_version_is_refused_before_a_running_server_is_stopped(stage: Stage) -> None:
    stage.apply()
    process = stage.process()
    stage.put(stage.format_file, "2\n")
    with pytest.raises(TargetError, match=r"made by version 2, .* is version \d") as caught:
        stage.apply(replace(stage.spec("changed"), restart_key="other"))
    assert "back to version 2" in caught.value.hint
    with pytest.raises(TargetError, match="made by version 2"):
        stage.restart()
    assert stage.facts().version
    assert stage.process() == process
    assert "changed" not in stage.text(stage.live)


def test_a_snapshot_that_the_programs_cannot_read_is_refused_before_a_running_server_is_stopped(stage: Stage) -> None:
    stage.apply()
    stage.put("data/kept", "FORMAT9 and what follows it")
    process = stage.process()
    own = stage.spec().data_format
    other = replace(stage.spec("changed"), restart_key="other")
    newer = replace(other, data_format=replace(own, snapshot="kept", readable=f"{__name__}:cannot_read"))
    for act in (stage.apply, stage.restart):
        with pytest.raises(TargetError, match=r"kept cannot be read by .*: FORMAT9 and what, and this is .*\d"):
            act(newer)
    assert stage.facts().version
    assert stage.process() == process
    assert "changed" not in stage.text(stage.live)
    stage.apply(replace(newer, data_format=replace(newer.data_format, snapshot="absent")))
    assert stage.process() != process


def cannot_read(beginning: str, version: str) -> str:
    return f"{beginning}, and this is {version}"


def test_programs_that_do_not_tell_their_version_are_an_error(stage: Stage) -> None:
    stage.apply()
    stage.stop()
    own = stage.spec().data_format
    strange = replace(stage.spec(), data_format=DataFormat(own.file, own.version_command, r"no version (\d+)"))
    with pytest.raises(TargetError, match=r"no version in its output: \w+"):
        stage.apply(strange)


def test_programs_that_are_too_old_for_the_data_to_be_made_are_refused_before_anything_is_touched(stage: Stage) -> None:
    wanted = Requirement(99, "circlepay:dummy.kind", "`new` needs version 99", "set it to old")
    with pytest.raises(TargetError, match=r"`new` needs version 99, and .* is version \d") as caught:
        stage.apply(replace(stage.spec(), requirement=wanted))
    assert (caught.value.path, caught.value.hint) == ("circlepay:dummy.kind", "set it to old")
    assert not stage.facts().has_data
    stage.apply()
    stage.apply(replace(stage.spec(), requirement=wanted))


def test_files_without_the_formats_file_are_no_data_and_nothing_is_touched(stage: Stage) -> None:
    stage.apply()
    stage.stop()
    stage.put("data/kept", "rows")
    stage.remove(stage.format_file)
    for _ in range(2):
        with pytest.raises(TargetError, match=f"but no {stage.format_file[5:]}: this is not data of") as caught:
            stage.apply(stage.spec("changed"))
        assert "nothing was touched" in caught.value.hint
        stage.stop()
    assert "changed" not in stage.text(stage.live)
    assert stage.text("data/kept") == "rows"


def test_a_killed_initialisation_leaves_nothing_half_made_and_the_next_apply_goes_on(stage: Stage) -> None:
    stage.machine(stage.spec()).write({}, folders=["config", "secrets", "logs"])
    stage.leave_unfinished()
    assert not stage.facts().has_data
    assert ("create", subject(stage, "data of {}")) in actions(stage.apply())
    assert stage.look("data/half") is None
    assert stage.look("data.partial") is None
    assert stage.plan() == []


def test_a_stop_discards_an_unfinished_initialisation(stage: Stage) -> None:
    stage.machine(stage.spec()).write({}, folders=["config", "secrets", "logs"])
    stage.leave_unfinished()
    stage.stop()
    assert stage.look("data/half") is None
    assert stage.look("data.partial") is None
    stage.apply()
    assert stage.plan() == []


def test_an_initialisation_can_be_cancelled_and_the_next_apply_goes_on(stage: Stage) -> None:
    with pytest.raises(TargetError, match="cancelled"):
        stage.outcome(stage.spec(how="slow"), cancelled=True)
    assert not stage.facts().has_data
    assert stage.look("secrets/initial") is None
    stage.apply()
    assert stage.plan() == []


def test_an_initialisation_that_fails_tells_why_without_secrets_and_leaves_nothing(stage: Stage) -> None:
    with pytest.raises(TargetError, match="it failed") as caught:
        stage.apply(stage.spec(how="fails"))
    assert "[secret]" in str(caught.value)
    assert SECRETS["password"] not in str(caught.value)
    assert caught.value.hint == stage.machine(stage.spec()).titles.initialization_hint
    assert not stage.facts().has_data
    for path in ("secrets/initial", "data/half", "data.partial", stage.format_file):
        assert stage.look(path) is None, path
    stage.apply()
    assert stage.plan() == []


# --- what does not go well


def test_a_start_that_fails_says_the_end_of_the_log_without_secrets(stage: Stage) -> None:
    with pytest.raises(TargetError, match="it exited immediately; the end of its log") as caught:
        stage.apply(stage.spec(extra="crash"))
    assert "fatal: told to crash" in caught.value.cause
    assert "[secret]" in caught.value.cause
    assert SECRETS["password"] not in str(caught.value)
    assert caught.value.hint == stage.machine(stage.spec()).titles.log_hint
    stage.apply()
    assert stage.plan() == []


def test_a_running_server_that_cannot_start_as_declared_is_brought_back_as_it_was(stage: Stage) -> None:
    stage.apply()
    stage.put("data/kept", "rows")
    process = stage.process()
    with pytest.raises(TargetError, match="it exited immediately") as caught:
        stage.outcome(stage.spec("changed", extra="crash"), previous=stage.server)
    assert "fatal: told to crash" in caught.value.cause
    assert caught.value.cause.endswith(subject(stage, "{} runs again as it was before this change"))
    assert stage.process() != process
    assert stage.facts().version
    wait_until(lambda: stage.loaded() == "hello")
    assert stage.plan() == []
    assert stage.text("data/kept") == "rows"


def test_a_server_that_cannot_be_brought_back_either_is_said_to_be_down(stage: Stage) -> None:
    stage.apply()
    with pytest.raises(TargetError, match="it exited immediately") as caught:
        stage.outcome(stage.spec(extra="crash"), previous=lambda: stage.server(stage.spec("other", extra="crash")))
    assert subject(stage, "{} is down: as it was before") in caught.value.cause
    assert stage.facts().version == ""
    stage.apply()
    assert stage.plan() == []


def test_a_repair_that_fails_says_why_without_secrets(stage: Stage) -> None:
    kept = stage.spec(kept="fails")
    stage.apply(kept)
    with pytest.raises(TargetError, match="repair the credentials") as caught:
        stage.apply(kept, OTHER)
    assert "[secret]" in caught.value.cause
    assert OTHER["password"] not in str(caught.value)


def test_a_server_that_never_answers_is_reported_and_goes_on(stage: Stage) -> None:
    silent = replace(stage.spec(), start_timeout=0.5, probe=f"{__name__}:never")
    with pytest.raises(TargetError, match="it did not answer within 0 s: not yet") as caught:
        stage.apply(silent)
    assert "still starting" in caught.value.hint
    assert actions(stage.plan(silent)) == [("await", subject(stage))]
    wait_until(lambda: stage.facts().version)
    assert stage.apply() == []


def test_waiting_can_be_cancelled(stage: Stage) -> None:
    stage.apply()
    stage.stop()
    with pytest.raises(TargetError, match="cancelled; the server is still starting"):
        stage.outcome(replace(stage.spec(), probe=f"{__name__}:never"), cancelled=True)
    assert stage.facts().process.running
    stage.apply()
    assert stage.plan() == []


def never(*_: object, **__: object) -> str:
    raise TargetError("log in", "server", "not yet")


# --- restarts


def test_a_restart_puts_the_declared_files_back(stage: Stage) -> None:
    stage.apply()
    process = stage.process()
    texts = stage.server().texts
    for path in (stage.live, stage.password):
        stage.put(path, "by hand")
    assert stage.restart() == stage.facts().version != ""
    assert stage.process() != process
    for path in (stage.live, stage.password):
        assert stage.text(path) == texts[path]
    assert stage.plan() == []


def test_a_restart_starts_what_does_not_run(stage: Stage) -> None:
    stage.apply()
    stage.stop()
    assert stage.restart()
    assert stage.plan() == []


# --- runs that end in between, and two at once


def interrupted(stage: Stage, step: str, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """An apply that is ended where it was about to do this to the machine."""

    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(stage.machine(stage.spec())), step, end)
        with pytest.raises(KeyboardInterrupt):
            act()


@pytest.mark.parametrize("back", [False, True])
def test_a_reload_that_was_owed_is_made_up_for(stage: Stage, monkeypatch: pytest.MonkeyPatch, back: bool) -> None:
    """Also where the declaration is the old one again: what the server has read meanwhile is unknown."""
    stage.apply()
    changed = stage.spec("good-night")
    interrupted(stage, "reload", monkeypatch, lambda: stage.apply(changed))
    applied = stage.facts().process.applied
    assert applied == Applied(stage.server().applied.restart, "")
    assert actions(stage.plan(changed)) == [("reload", subject(stage))]
    wanted = stage.spec() if back else changed
    assert [change.effect for change in stage.apply(wanted)] == [Effect.RELOAD]
    wait_until(lambda: stage.loaded() == ("hello" if back else "good-night"))
    assert stage.plan(wanted) == []


def test_a_reload_after_an_edit_was_taken_back_is_owed_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.apply()
    stage.put(stage.live, stage.server(stage.spec("hacked")).texts[stage.live])
    stage.machine(stage.spec()).reload()
    wait_until(lambda: stage.loaded() == "hacked")
    interrupted(stage, "reload", monkeypatch, stage.apply)
    assert actions(stage.apply()) == [("reload", subject(stage))]
    wait_until(lambda: stage.loaded() == "hello")


def test_a_reload_that_is_refused_is_an_error_and_stays_due(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.apply()

    def refused(*_: object) -> None:
        raise TargetError("reload", "server", "no such signal")

    with monkeypatch.context() as patched:
        patched.setattr(type(stage.machine(stage.spec())), "reload", refused)
        with pytest.raises(TargetError, match="no such signal"):
            stage.apply(stage.spec("good-night"))
    assert actions(stage.plan(stage.spec("good-night"))) == [("reload", subject(stage))]


@pytest.mark.parametrize("back", [False, True])
def test_what_a_running_server_has_not_read_is_recorded_as_unknown(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    stage.apply()
    interrupted(stage, "stop", monkeypatch, lambda: stage.apply(secrets=OTHER))
    assert stage.facts().process.applied == Applied("", stage.server().applied.reload)
    wanted = SECRETS if back else OTHER
    assert ("restart", subject(stage)) in actions(stage.apply(secrets=wanted))
    assert stage.plan(secrets=wanted) == []


def test_what_a_stopped_server_will_read_is_recorded_with_its_files(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.apply()
    stage.stop()
    interrupted(stage, "start", monkeypatch, lambda: stage.apply(secrets=OTHER))
    machine = stage.machine(stage.spec())
    with machine.exclusive("start it", threading.Event()):
        machine.start()
    wait_until(lambda: stage.plan(secrets=OTHER) == [])


def test_two_runs_at_once_start_one_server(locked: Stage) -> None:
    made = [locked.server() for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(lifecycle.apply, each, cancelled=threading.Event(), progress=print) for each in made]
        found = [run.result().changes for run in runs]
    assert sorted(len(changes) for changes in found) == [0, 0, 2]
    assert locked.plan() == []


def test_a_second_run_waits_for_the_first_and_goes_by_what_that_has_done(locked: Stage) -> None:
    machine = locked.machine(locked.spec())
    with machine.exclusive("hold it", threading.Event()):
        second = threading.Thread(target=lambda: lifecycle.stop(locked.server(), progress=lambda _: None))
        second.start()
        second.join(0.3)
        assert second.is_alive()
    second.join(10)
    assert not second.is_alive()
