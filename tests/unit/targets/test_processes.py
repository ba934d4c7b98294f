from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.changes import Effect
from infra.endpoint import Endpoint
from infra.errors import TargetError
from infra.targets import lifecycle, process_records, processes
from infra.targets.lifecycle import ENVIRONMENT
from infra.targets.placement import Placement
from infra.targets.processes import ServerFacts
from infra.targets.spec import CredentialsRefused, ServerSpec
from tests.support.dummy_product import SECRETS, ask, spec
from tests.support.placements import AS_ROOT, Stage, kill_server, staged, wait_until


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made


def up(stage: Stage, declared: ServerSpec | None = None) -> tuple[Placement, ServerSpec]:
    declared = declared or spec()
    place = stage.place(declared)
    stage.apply(place, declared, SECRETS)
    return place, declared


def said(place: Placement) -> list[str]:
    return ask(Endpoint(place.host, place.port), SECRETS["password"]).split()


def pid_of(place: Placement) -> int:
    record = process_records.read(place.record)
    assert record is not None
    return record.pid


def actions(changes: list) -> list[tuple[str, str]]:
    return [(change.action, change.subject) for change in changes]


# --- from nothing to running, and back


def test_a_server_nobody_has_heard_of_is_brought_up_and_a_second_apply_finds_nothing(stage):
    declared = spec()
    place = stage.place(declared)
    assert actions(stage.plan(place, declared, SECRETS)) == [
        ("create", "data of dummy"),
        ("start", "server dummy"),
    ]
    assert actions(stage.apply(place, declared, SECRETS)) == [("create", "data of dummy"), ("start", "server dummy")]
    assert said(place) == ["OK", "3.2", "hello", "1"]
    facts = stage.read(place, declared, SECRETS)
    assert (facts.running, facts.authenticates, facts.version, facts.problem) == (True, True, "3.2", "")
    assert stage.plan(place, declared, SECRETS) == []
    assert stage.apply(place, declared, SECRETS) == []
    assert said(place)[3] == "1", "the second apply must not have started it again"


def test_down_and_up_opens_the_same_data_with_the_same_password(stage):
    place, declared = up(stage)
    stage.stop(place, declared)
    assert not stage.read(place, declared, SECRETS).running
    stage.stop(place, declared)
    assert actions(stage.apply(place, declared, SECRETS)) == [("start", "server dummy")]
    assert said(place) == ["OK", "3.2", "hello", "2"]


def test_only_the_servers_user_can_read_its_files(stage):
    place, _ = up(stage)
    owner = place.owner.uid
    for name in ("data", "config", "secrets", "logs"):
        status = place.sub(name).stat()
        assert (status.st_uid, status.st_mode & 0o777) == (owner, 0o700), name
    for path in ("config/dummy.conf", "secrets/password"):
        status = (place.folder / path).stat()
        assert (status.st_uid, status.st_mode & 0o777) == (owner, 0o600), path
    assert not (place.folder / "secrets/initial").exists()
    assert place.folder.stat().st_uid == os.geteuid()
    assert place.sub("run").stat().st_mode & 0o777 == 0o700


def test_the_server_is_alone_with_its_user_its_session_and_an_environment_without_secrets(stage, monkeypatch):
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "do-not-inherit")
    place, _ = up(stage)
    status = Path(f"/proc/{pid_of(place)}/status")
    if not status.exists():
        pytest.skip("needs /proc")
    lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
    assert lines["Uid"].split() == [str(place.owner.uid)] * 4
    assert lines["Gid"].split() == [str(place.owner.gid)] * 4
    if AS_ROOT:
        assert lines["Groups"].split() == []
        assert int(lines["CapEff"], 16) == 0
    assert os.getsid(pid_of(place)) == pid_of(place)
    assert (place.sub("data") / "session").read_text() != f"{os.getsid(0)}"
    environ = Path(f"/proc/{pid_of(place)}/environ").read_bytes()
    assert b"do-not-inherit" not in environ
    assert {entry.split(b"=")[0].decode() for entry in environ.split(b"\0") if entry} <= {*ENVIRONMENT, "LC_CTYPE"}
    argv = Path(f"/proc/{pid_of(place)}/cmdline").read_bytes()
    assert SECRETS["password"].encode() not in argv


def test_a_server_outlives_the_process_that_started_it_and_holds_none_of_its_output(stage):
    declared = spec()
    place = stage.place(declared)
    child = stage.apply_in_child(place, declared, SECRETS)
    output, _ = child.communicate(timeout=60)  # hangs if the server inherited the pipe
    assert child.returncode == 0, output
    assert said(place)[0] == "OK"
    assert stage.apply(place, declared, SECRETS) == []


def test_the_applied_spec_is_left_behind_without_secrets(stage):
    place, declared = up(stage)
    text = (place.sub("run") / "spec.json").read_text()
    assert ServerSpec.from_json(json.loads(text)) == declared
    assert SECRETS["password"] not in text


# --- drift


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda path: path.write_text(path.read_text().replace("hello", "hacked")),
            "its content is not the declared one",
        ),
        (lambda path: path.chmod(0o644), "its mode is 0644, declared 0600"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "is something else, or cannot be read"),
    ],
)
def test_a_spoilt_configuration_file_is_found_and_mended_without_a_restart(stage, spoil, reason):
    place, declared = up(stage)
    spoil(place.folder / "config/dummy.conf")
    changes = stage.plan(place, declared, SECRETS)
    assert [(c.action, c.subject, c.reason, c.effect) for c in changes] == [
        ("write", "file config/dummy.conf of dummy", reason, Effect.RELOAD)
    ]
    assert stage.apply(place, declared, SECRETS) == changes
    assert stage.plan(place, declared, SECRETS) == []
    assert said(place) == ["OK", "3.2", "hello", "1"]


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_a_file_that_was_given_to_another_user_is_taken_back(stage):
    place, declared = up(stage)
    os.chown(place.folder / "config/dummy.conf", 1, 1)
    (change,) = stage.plan(place, declared, SECRETS)
    assert change.reason == "it belongs to uid 1, declared circlepay"
    stage.apply(place, declared, SECRETS)
    assert stage.plan(place, declared, SECRETS) == []


@pytest.mark.parametrize("name", ["data", "config", "secrets", "logs"])
def test_an_opened_folder_is_found_and_closed(stage, name):
    place, declared = up(stage)
    place.sub(name).chmod(0o755)
    assert [c.reason for c in stage.plan(place, declared, SECRETS)] == ["its mode is 0755, declared 0700"]
    stage.apply(place, declared, SECRETS)
    assert stage.plan(place, declared, SECRETS) == []
    assert said(place)[3] == "1"


def test_a_changed_setting_is_reloaded(stage):
    place, _ = up(stage)
    changed = spec("good-evening")
    assert [c.effect for c in stage.apply(place, changed, SECRETS)] == [Effect.RELOAD]
    wait_until(lambda: said(place) == ["OK", "3.2", "good-evening", "1"])


def test_a_reload_that_a_killed_run_owed_is_made_up_for(stage):
    place, _ = up(stage)
    changed = spec("good-night")
    path = place.folder / "config/dummy.conf"
    path.write_text(path.read_text().replace("hello", "good-night"))  # written, and then the run was killed
    (place.sub("run") / "reload-pending").touch()
    assert actions(stage.plan(place, changed, SECRETS)) == [("reload", "server dummy")]
    stage.apply(place, changed, SECRETS)
    wait_until(lambda: said(place)[2] == "good-night")
    assert stage.plan(place, changed, SECRETS) == []


def test_a_run_that_ends_between_writing_and_reloading_owes_the_reload(stage, monkeypatch):
    place, _ = up(stage)
    with monkeypatch.context() as patched:
        patched.setattr(lifecycle.Run, "reload", lambda _self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stage.apply(place, spec("good-night"), SECRETS)
    assert actions(stage.apply(place, spec("good-night"), SECRETS)) == [("reload", "server dummy")]
    wait_until(lambda: said(place)[2] == "good-night")


def test_what_is_only_read_at_the_start_restarts(stage):
    place, _ = up(stage)
    changed = spec(restart_key="more-memory")
    (change,) = stage.apply(place, changed, SECRETS)
    assert (change.action, change.effect, change.lock) == ("restart", Effect.RESTART, "every connection is closed")
    assert said(place)[3] == "2"
    assert stage.plan(place, changed, SECRETS) == []


def test_without_a_reload_signal_a_file_is_only_written(stage):
    declared = replace(spec(), reload_signal="")
    place, _ = up(stage, declared)
    changed = replace(spec("later"), reload_signal="")
    assert [c.effect for c in stage.apply(place, changed, SECRETS)] == [Effect.LIVE]
    assert said(place)[2:] == ["hello", "1"]
    assert stage.plan(place, changed, SECRETS) == []


def test_a_changed_secret_restarts_and_the_old_one_is_refused(stage):
    place, declared = up(stage)
    other = {"password": "another-password-now"}
    assert [c.action for c in stage.apply(place, declared, other)] == ["write", "restart"]
    assert ask(Endpoint(place.host, place.port), other["password"]).startswith("OK")
    assert ask(Endpoint(place.host, place.port), SECRETS["password"]) == "NO"


def test_another_port_moves_the_server(stage):
    place, declared = up(stage)
    moved = stage.place(declared, port=place.port + 500)
    assert [c.action for c in stage.apply(moved, declared, SECRETS)] == ["write", "restart"]
    assert said(moved)[3] == "2"
    with socket.socket() as probe:
        assert probe.connect_ex((place.host, place.port)) != 0


def test_other_programs_restart(stage):
    place, declared = up(stage)
    elsewhere = stage.root.with_name("elsewhere")
    elsewhere.mkdir(mode=0o755)
    original = stage.programs(declared) / "dummy-server"
    (elsewhere / "dummy-server").write_bytes(original.read_bytes())
    (elsewhere / "dummy-server").chmod(0o755)
    changes = processes.apply(
        place, declared, SECRETS, elsewhere, cancelled=threading.Event(), progress=stage.lines.append
    )
    assert [c.action for c in changes] == ["restart"]
    assert str(elsewhere) in changes[0].reason
    facts = processes.read(place, declared, SECRETS, elsewhere)
    assert processes.plan(facts, declared, SECRETS, place) == []


def test_a_secret_left_over_from_a_killed_initialisation_is_deleted(stage):
    place, declared = up(stage)
    (place.folder / "secrets/initial").write_text(SECRETS["password"])
    assert actions(stage.apply(place, declared, SECRETS)) == [("delete", "file secrets/initial of dummy")]
    assert not (place.folder / "secrets/initial").exists()


def test_reading_a_server_that_is_down_or_absent_does_not_raise(stage):
    declared = spec()
    place = stage.place(declared)
    empty = stage.read(place, declared, SECRETS)
    assert (empty.running, empty.authenticates, empty.has_data) == (False, False, False)
    stage.apply(place, declared, SECRETS)
    kill_server(place)
    dead = stage.read(place, declared, SECRETS)
    assert (dead.running, dead.authenticates, dead.has_data) == (False, False, True)


def test_planning_touches_nothing_and_needs_no_server():
    declared = spec()
    place = Placement(Path("/nowhere/at/all"), "127.0.0.1", 1, None)
    assert actions(processes.plan(ServerFacts(), declared, SECRETS, place))[-1] == ("start", "server dummy")


# --- accidents


def test_a_killed_server_comes_back(stage):
    place, declared = up(stage)
    killed = kill_server(place)
    assert actions(stage.apply(place, declared, SECRETS)) == [("start", "server dummy")]
    assert pid_of(place) != killed
    assert said(place)[3] == "2"


def test_after_a_crash_a_start_is_tried_again_and_after_a_stop_it_is_not(stage):
    place, declared = up(stage)
    kill_server(place)
    (place.sub("data") / "busy-until").write_text(f"{time.time() + 1.0}")
    stage.apply(place, declared, SECRETS)
    assert said(place)[3] == "2"
    stage.stop(place, declared)
    (place.sub("data") / "busy-until").write_text(f"{time.time() + 60}")
    started = time.monotonic()
    with pytest.raises(TargetError, match="my data is still in use"):
        stage.apply(place, declared, SECRETS)
    assert time.monotonic() - started < 5


def test_a_recorded_pid_that_belongs_to_another_process_by_now_is_not_the_server(stage):
    place, declared = up(stage)
    kill_server(place)
    record = json.loads(place.record.read_text())
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            place.record.write_text(json.dumps({**record, "pid": stranger.pid}))
            assert not stage.read(place, declared, SECRETS).running
            stage.stop(place, declared)
            assert stranger.poll() is None, "somebody else's process must not be signalled"
            stage.apply(place, declared, SECRETS)
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert said(place)[3] == "2"


def test_a_stale_file_goes_when_its_pid_is_somebody_elses_and_stays_when_it_is_the_server(stage):
    place, declared = up(stage)
    stale = place.sub("data") / "dummy.pid"
    kill_server(place)
    seen: list[str] = []

    def look(_line: str) -> None:
        seen.append(stale.read_text() if stale.exists() else "gone")

    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            stale.write_text(f"{stranger.pid}\n")
            stage.apply(place, declared, SECRETS)
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert stale.read_text().strip() == str(pid_of(place))


def test_a_taken_port_is_named_with_who_has_it_and_nothing_is_stopped(stage):
    declared = spec()
    place = stage.place(declared)
    with socket.create_server((place.host, place.port)):
        with pytest.raises(TargetError) as caught:
            stage.apply(place, declared, SECRETS)
        assert caught.value.path == f"{place.host}:{place.port}"
        assert f"this port is taken by pid {os.getpid()}" in caught.value.cause
        assert "circlepay:dummy.port" in caught.value.hint
    stage.apply(place, declared, SECRETS)
    assert said(place)[0] == "OK"


def test_a_running_server_is_not_stopped_for_a_port_it_cannot_have(stage):
    place, declared = up(stage)
    with socket.create_server((place.host, place.port + 700)):
        moved = replace(place, port=place.port + 700)
        with pytest.raises(TargetError, match="this port is taken"):
            stage.apply(moved, declared, SECRETS)
    assert said(place)[3] == "1"


def test_a_server_that_was_started_by_hand_is_taken_over(stage):
    place, declared = up(stage)
    stage.stop(place, declared)
    folders = [str(place.folder / "config/dummy.conf"), str(place.folder / "secrets/password"), str(place.sub("data"))]
    program = str(stage.programs(declared) / "dummy-server")
    with subprocess.Popen([program, *folders]) as manual:
        try:
            wait_until(lambda: not _refused(place))
            assert actions(stage.apply(place, declared, SECRETS)) == [("start", "server dummy")]
            assert manual.wait(10) == -signal.SIGTERM
        finally:
            manual.kill()
    assert said(place)[3] == "3"
    assert stage.plan(place, declared, SECRETS) == []


def _refused(place: Placement) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((place.host, place.port)) != 0


def test_a_server_that_ends_at_once_shows_the_end_of_its_log_without_its_password(stage):
    declared = spec(extra="crash\n")
    place = stage.place(declared)
    started = time.monotonic()
    with pytest.raises(TargetError) as caught:
        stage.apply(place, declared, SECRETS)
    assert time.monotonic() - started < 5
    assert "fatal: told to crash" in caught.value.cause
    assert SECRETS["password"] not in str(caught.value)
    assert "[secret]" in caught.value.cause
    stage.apply(place, spec(), SECRETS)
    assert said(place)[0] == "OK"


def test_a_server_that_never_answers_is_reported_and_goes_on(stage):
    declared = replace(spec(), start_timeout=0.5, probe="tests.unit.targets.test_processes:never")
    place = stage.place(declared)
    with pytest.raises(TargetError, match="it has not answered for 0 s: not yet") as caught:
        stage.apply(place, declared, SECRETS)
    assert "goes on starting" in caught.value.hint
    assert said(place)[0] == "OK"
    assert actions(stage.apply(place, spec(), SECRETS)) == []


def never(*_: object, **__: object) -> str:
    raise TargetError("log in", "dummy", "not yet")


def test_a_run_that_is_cancelled_while_it_waits_says_so(stage):
    declared = replace(spec(), probe="tests.unit.targets.test_processes:never")
    place = stage.place(declared)
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    with pytest.raises(TargetError, match="cancelled"):
        stage.apply(place, declared, SECRETS, cancelled=cancelled)
    stage.apply(place, spec(), SECRETS)


def test_a_server_that_does_not_stop_is_reported_and_never_killed(stage):
    declared = replace(spec(extra="stubborn\n"), stop_timeout=0.3)
    place, _ = up(stage, declared)
    with pytest.raises(TargetError, match="it still runs 0 s after SIGTERM") as caught:
        stage.stop(place, declared)
    assert "not killed" in caught.value.hint
    assert said(place)[0] == "OK"
    assert stage.read(place, declared, SECRETS).running


def test_a_server_that_refuses_its_own_credentials_says_so(stage):
    declared = spec()
    place = stage.place(declared)
    stage.apply(place, declared, SECRETS)
    stuck = replace(declared, probe="tests.unit.targets.test_processes:refuse")
    assert stage.read(place, stuck, SECRETS).refused
    with pytest.raises(CredentialsRefused):
        stage.apply(place, stuck, SECRETS)
    wait_until(lambda: not _refused(place))
    assert said(place)[3] == "2", "one restart was worth a try"


def refuse(*_: object, **__: object) -> str:
    raise CredentialsRefused("log in", "dummy", "no")


def test_a_half_made_initialisation_is_begun_again(stage):
    declared = spec()
    place = stage.place(declared)
    partial = place.folder / "data.partial"
    partial.mkdir()
    (partial / "half").write_text("x")
    stage.apply(place, declared, SECRETS)
    assert not partial.exists()
    assert not (place.sub("data") / "half").exists()


def test_a_failed_initialisation_is_shown_and_leaves_nothing(stage):
    declared = replace(spec(), initialize=("server", "--initialize", "/nowhere/{data}"))
    place = stage.place(declared)
    with pytest.raises(TargetError, match="FileNotFoundError"):
        stage.apply(place, declared, SECRETS)
    assert {path.name for path in place.folder.iterdir()} == {
        "circlepay.json",
        "config",
        "lock",
        "logs",
        "run",
        "secrets",
    }
    assert not (place.folder / "secrets/initial").exists()
    stage.apply(place, spec(), SECRETS)


def test_a_folder_without_the_version_file_is_no_data(stage):
    place, declared = up(stage)
    stage.stop(place, declared)
    (place.sub("data") / "VERSION").unlink()
    with pytest.raises(TargetError, match="there are files in it, but no VERSION"):
        stage.apply(place, declared, SECRETS)


def test_data_of_another_version_is_refused_before_a_running_server_is_stopped(stage):
    place, declared = up(stage)
    (place.sub("data") / "VERSION").write_text("2\n")
    with pytest.raises(TargetError, match=r"made by version 2, the programs in .* are version 3") as caught:
        stage.apply(place, replace(declared, restart_key="other"), SECRETS)
    assert "programs of version 2" in caught.value.hint
    assert said(place)[3] == "1"


def test_missing_programs_are_named_before_a_running_server_is_stopped(stage, tmp_path):
    place, declared = up(stage)
    with pytest.raises(TargetError, match="there is no dummy-server in this folder"):
        processes.apply(place, declared, SECRETS, tmp_path, cancelled=threading.Event(), progress=print)
    assert said(place)[3] == "1"


def test_data_that_was_deleted_under_a_running_server_is_made_anew(stage):
    import shutil

    place, declared = up(stage)
    shutil.rmtree(place.sub("data"))
    assert [c.action for c in stage.apply(place, declared, SECRETS)] == ["create", "restart"]
    assert said(place)[3] == "1"
    assert stage.plan(place, declared, SECRETS) == []


# --- two at once, and killed runs


def test_two_runs_at_once_start_one_server(stage):
    declared = spec()
    place = stage.place(declared)
    children = [stage.apply_in_child(place, declared, SECRETS) for _ in range(3)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], outputs
    assert said(place)[3] == "1"
    assert sorted(len(json.loads(output)) for output in outputs) == [0, 0, 2]


def test_a_run_killed_at_any_moment_is_finished_by_the_next(stage):
    declared = spec()
    random.seed(20)
    for attempt in range(15):
        place = stage.place(declared, clone=f"{attempt:010d}")
        child = stage.apply_in_child(place, declared, SECRETS)
        assert child.stdout is not None
        with child:
            time.sleep(0.05 + random.random() * 0.6)  # noqa: S311
            child.kill()
        stage.apply(place, declared, SECRETS)
        assert said(place)[0] == "OK"
        assert stage.plan(place, declared, SECRETS) == []
        listeners = _processes_of(place)
        assert listeners == {pid_of(place)}, f"attempt {attempt}: one server, and it is the recorded one"
        assert not list(place.folder.glob("*.partial"))
        assert not (place.folder / "secrets/initial").exists()
        stage.stop(place, declared)


def _processes_of(place: Placement) -> set[int]:
    import psutil

    found = set()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(word == str(place.folder / "config/dummy.conf") for word in words) and "launch.py" not in " ".join(
            words
        ):
            found.add(process.pid)
    return found


@pytest.mark.skipif(sys.platform != "linux" or not AS_ROOT, reason="needs root to mount a small file system")
def test_a_full_disk_is_named_with_its_free_space_and_the_next_run_goes_on(stage):
    declared = spec()
    stage.root.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0711", "none", str(stage.root)], check=True)
    try:
        place = stage.place(declared)
        filler = stage.root / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1k"], check=False, stderr=subprocess.DEVNULL)
        with pytest.raises(TargetError) as caught:
            stage.apply(place, declared, SECRETS)
        assert "no space left" in caught.value.cause.lower()
        assert "MiB are free" in caught.value.hint
        filler.unlink()
        stage.apply(place, declared, SECRETS)
        assert said(place)[0] == "OK"
    finally:
        stage.end_everything()
        subprocess.run(["umount", str(stage.root)], check=True)
