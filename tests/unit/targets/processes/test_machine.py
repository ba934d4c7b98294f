"""A server as a process of this machine: what no other machine has. What all of them promise is in tests/machines."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.changes import Effect
from infra.endpoint import Endpoint
from infra.errors import TargetError
from infra.targets.machine import APPLIED_FILE
from infra.targets.processes import placement, process_records
from infra.targets.processes.machine import ENVIRONMENT, RELOAD_PENDING, ProcessMachine
from infra.targets.processes.placement import Placement
from infra.targets.spec import ServerSpec
from tests.support.dummy_product import SECRETS, ask, spec
from tests.support.placements import AS_ROOT, Stage, kill_server, wait_until
from tests.support.server_verbs import actions


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


# --- from nothing to running, and back


def test_what_the_server_has_no_business_in_is_not_its_own(stage: Stage) -> None:
    place, _ = up(stage)
    for folder in (place.folder, place.sub("run")):
        assert folder.stat().st_uid == os.geteuid()
    assert place.sub("run").stat().st_mode & 0o777 == 0o700
    assert (place.folder / APPLIED_FILE).stat().st_mode & 0o777 == 0o600


def test_the_server_is_alone_with_its_user_its_session_and_an_environment_without_secrets(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_server_outlives_the_process_that_started_it_and_holds_none_of_its_output(stage: Stage) -> None:
    declared = spec()
    place = stage.place(declared)
    child = stage.apply_in_child(place, declared, SECRETS)
    output, _ = child.communicate(timeout=60)  # hangs if the server inherited the pipe
    assert child.returncode == 0, output
    assert said(place)[0] == "OK"
    assert stage.apply(place, declared, SECRETS) == []


# --- a port that is lost


def test_a_port_lost_at_the_last_moment_is_said_so_and_gets_no_password(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = spec()
    place = stage.place(declared)
    start = ProcessMachine.start
    with socket.socket() as other:
        other.settimeout(0.1)

        def lose(machine: ProcessMachine) -> None:
            other.bind((place.host, place.port))
            other.listen()
            start(machine)

        monkeypatch.setattr(ProcessMachine, "start", lose)
        with pytest.raises(TargetError, match=f"this port is taken by pid {os.getpid()} ") as caught:
            stage.apply(place, declared, SECRETS)
        assert "the next `up` takes another port by itself" in caught.value.hint
        with pytest.raises(TimeoutError):
            other.accept()
        assert placement.wants_another_port(place)
        moved = stage.place(declared)
        assert moved.port != place.port
        monkeypatch.undo()
        stage.apply(moved, declared, SECRETS)
    stage.stop(moved, declared)
    with (
        socket.create_server((moved.host, moved.port)),
        pytest.raises(TargetError, match="this port is taken") as caught,
    ):
        stage.apply(moved, declared, SECRETS)
    assert "the next `up`" not in caught.value.hint, "clients know it by now"


# --- drift


def test_a_link_in_place_of_a_configuration_file_is_found_and_mended_without_a_restart(stage: Stage) -> None:
    place, declared = up(stage)
    (place.folder / "config/dummy.conf").unlink()
    (place.folder / "config/dummy.conf").symlink_to("/etc/passwd")
    changes = stage.plan(place, declared, SECRETS)
    assert [(c.action, c.subject, c.reason, c.effect) for c in changes] == [
        ("write", "file config/dummy.conf of dummy", "has another file type, or cannot be read", Effect.RELOAD)
    ]
    assert stage.apply(place, declared, SECRETS) == changes
    assert stage.plan(place, declared, SECRETS) == []
    assert said(place) == ["OK", "3.2", "hello", "1"]


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_a_file_that_was_given_to_another_user_is_taken_back(stage: Stage) -> None:
    place, declared = up(stage)
    os.chown(place.folder / "config/dummy.conf", 1, 1)
    (change,) = stage.plan(place, declared, SECRETS)
    assert change.reason == "it belongs to uid 1, declared circlepay"
    stage.apply(place, declared, SECRETS)
    assert stage.plan(place, declared, SECRETS) == []


def test_another_port_moves_the_server(stage: Stage) -> None:
    place, declared = up(stage)
    moved = stage.place(declared, port=place.port + 500)
    assert [c.action for c in stage.apply(moved, declared, SECRETS)] == ["write", "restart"]
    assert said(moved)[3] == "2"
    with socket.socket() as probe:
        assert probe.connect_ex((place.host, place.port)) != 0


def test_other_programs_restart(stage: Stage) -> None:
    place, declared = up(stage)
    elsewhere = stage.root.with_name("elsewhere")
    elsewhere.mkdir(mode=0o755)
    original = stage.programs(declared) / "dummy-server"
    (elsewhere / "dummy-server").write_bytes(original.read_bytes())
    (elsewhere / "dummy-server").chmod(0o755)
    changes = stage.apply(place, declared, SECRETS, str(elsewhere))
    assert [c.action for c in changes] == ["restart"]
    assert str(elsewhere) in changes[0].reason
    assert stage.plan(place, declared, SECRETS, str(elsewhere)) == []


def test_a_secret_left_over_from_a_killed_initialisation_is_deleted(stage: Stage) -> None:
    place, declared = up(stage)
    (place.folder / "secrets/initial").write_text(SECRETS["password"])
    assert actions(stage.apply(place, declared, SECRETS)) == [("delete", "file secrets/initial of dummy")]
    assert not (place.folder / "secrets/initial").exists()


# --- accidents


def test_after_a_crash_a_start_is_tried_again_and_after_a_stop_it_is_not(stage: Stage) -> None:
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


def test_a_recorded_pid_that_belongs_to_another_process_by_now_is_not_the_server(stage: Stage) -> None:
    place, declared = up(stage)
    kill_server(place)
    record = json.loads(place.record.read_text())
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            place.record.write_text(json.dumps({**record, "pid": stranger.pid}))
            assert not stage.read(place, declared, SECRETS).process.running
            stage.stop(place, declared)
            assert stranger.poll() is None, "somebody else's process must not be signalled"
            stage.apply(place, declared, SECRETS)
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert said(place)[3] == "2"


def test_a_stale_file_goes_when_its_pid_is_somebody_elses_and_stays_when_it_is_the_server(stage: Stage) -> None:
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


@pytest.mark.parametrize("at", ["data/dummy.pid", "run/process.json", "run/applied.json", "config/dummy.conf"])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(stage: Stage, at: str) -> None:
    place, declared = up(stage)
    stage.stop(place, declared)
    (place.folder / at).unlink(missing_ok=True)
    os.mkfifo(place.folder / at)
    stage.apply(place, declared, SECRETS)
    assert stage.plan(place, declared, SECRETS) == []
    assert (place.folder / at).is_file()


def test_a_taken_port_is_named_with_who_has_it_and_nothing_is_stopped(stage: Stage) -> None:
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


def test_a_running_server_is_not_stopped_for_a_port_it_cannot_have(stage: Stage) -> None:
    place, declared = up(stage)
    with socket.create_server((place.host, place.port + 700)):
        moved = replace(place, port=place.port + 700)
        with pytest.raises(TargetError, match="this port is taken"):
            stage.apply(moved, declared, SECRETS)
    assert said(place)[3] == "1"


def test_a_server_that_was_started_by_hand_is_taken_over(stage: Stage) -> None:
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


def test_missing_programs_are_named_before_a_running_server_is_stopped(stage: Stage, tmp_path: Path) -> None:
    place, declared = up(stage)
    with pytest.raises(TargetError, match="there is no dummy-server in this folder"):
        stage.apply(place, declared, SECRETS, str(tmp_path))
    assert said(place)[3] == "1"


# --- a server that the release before 0.2 started


def as_the_earlier_release_left_it(stage: Stage, place: Placement, declared: ServerSpec) -> None:
    """Its record said what the server had read, and no note did."""
    record = json.loads(place.record.read_text())
    restart_key = stage.server(place, declared, SECRETS).applied.restart
    place.record.write_text(json.dumps({**record, "restart_key": restart_key}))
    (place.folder / APPLIED_FILE).unlink()


def test_a_server_of_the_earlier_release_goes_on(stage: Stage) -> None:
    place, declared = up(stage)
    as_the_earlier_release_left_it(stage, place, declared)
    assert stage.plan(place, declared, SECRETS) == []
    assert stage.apply(place, declared, SECRETS) == []
    assert [c.effect for c in stage.apply(place, spec("good-evening"), SECRETS)] == [Effect.RELOAD]
    wait_until(lambda: said(place) == ["OK", "3.2", "good-evening", "1"])
    assert stage.plan(place, spec("good-evening"), SECRETS) == []


def test_a_server_of_the_earlier_release_is_restarted_for_what_it_has_not_read(stage: Stage) -> None:
    place, declared = up(stage)
    as_the_earlier_release_left_it(stage, place, declared)
    assert [c.action for c in stage.apply(place, spec(restart_key="more-memory"), SECRETS)] == ["restart"]
    assert stage.plan(place, spec(restart_key="more-memory"), SECRETS) == []


def test_a_reload_that_a_killed_run_of_the_earlier_release_owed_is_made_up_for(stage: Stage) -> None:
    place, declared = up(stage)
    as_the_earlier_release_left_it(stage, place, declared)
    changed = spec("good-night")
    path = place.folder / "config/dummy.conf"
    path.write_text(path.read_text().replace("hello", "good-night"))  # written, and then the run was killed
    (place.folder / RELOAD_PENDING).touch()
    assert actions(stage.plan(place, changed, SECRETS)) == [("reload", "server dummy")]
    stage.apply(place, changed, SECRETS)
    wait_until(lambda: said(place)[2] == "good-night")
    assert not (place.folder / RELOAD_PENDING).exists()
    assert stage.plan(place, changed, SECRETS) == []
    assert said(place)[3] == "1"


@pytest.mark.parametrize("note", ["", "{", "[]", None])
def test_a_note_that_cannot_be_read_costs_a_restart_and_nothing_else(stage: Stage, note: str | None) -> None:
    place, declared = up(stage)
    path = place.folder / APPLIED_FILE
    path.unlink() if note is None else path.write_text(note)
    assert actions(stage.apply(place, declared, SECRETS)) == [("restart", "server dummy")]
    assert stage.plan(place, declared, SECRETS) == []


# --- two at once, and killed runs


def test_a_run_killed_at_any_moment_is_finished_by_the_next(stage: Stage) -> None:
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
def test_a_full_disk_is_named_with_its_free_space_and_the_next_run_goes_on(stage: Stage) -> None:
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
