"""A server in its container: what is seen, what is planned, what is done, on the engine of this machine."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from typing import Any

import pytest

from infra.changes import Change, Effect
from infra.endpoint import Endpoint
from infra.errors import TargetError
from infra.targets.containers import contents, engine, running
from infra.targets.containers.running import Facts, Keys, Limits, Work
from infra.targets.containers.site import Site
from infra.targets.spec import ServerSpec
from tests.support import container_product
from tests.support.placements import wait_until
from tests.unit.targets.containers.conftest import LIMITS, Stage

SPEC = container_product.spec()
SECRETS = {"password": "correct-horse-battery"}
SITE = Site("third-circlepay", "sha256:0", "999:999", "third_data", "/data", "/data", "third_files", 7007)
NOBODY: Any = None
WORK = Work(NOBODY, SPEC, SITE, Endpoint("127.0.0.1", 7007), "circlepay", LIMITS, SECRETS)
AS_DECLARED = Facts("running", LIMITS, WORK.keys, connected=True, version="7.0")


def actions(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.action, change.subject) for change in changes]


def test_nothing_differs_nothing_is_planned() -> None:
    assert running.plan(AS_DECLARED, WORK) == []


SERVER, CONTAINER = "server third", "container third-circlepay"
STALE = Keys("another", WORK.keys.reload)
UNREAD = Keys(WORK.keys.restart, "another")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(problem="there is no container"), [("set", f"limits of {CONTAINER}"), ("start", SERVER)]),
        (replace(AS_DECLARED, status="exited", version=""), [("start", SERVER)]),
        (replace(AS_DECLARED, status="created", version="", applied=Keys()), [("start", SERVER)]),
        (replace(AS_DECLARED, status="paused", version=""), [("unpause", CONTAINER)]),
        (replace(AS_DECLARED, status="restarting", version=""), [("await", SERVER)]),
        (replace(AS_DECLARED, limits=Limits()), [("set", f"limits of {CONTAINER}")]),
        (replace(AS_DECLARED, connected=False, version=""), [("connect", CONTAINER), ("await", SERVER)]),
        (replace(AS_DECLARED, applied=STALE), [("restart", SERVER)]),
        (replace(AS_DECLARED, applied=UNREAD), [("reload", SERVER)]),
        (replace(AS_DECLARED, version="", refused=True, problem="no"), [("restart", SERVER)]),
        (replace(AS_DECLARED, version="", problem="no answer"), [("await", SERVER)]),
    ],
    ids=lambda value: value.status or "absent" if isinstance(value, Facts) else "",
)
def test_each_difference_is_one_change(facts: Facts, expected: list[tuple[str, str]]) -> None:
    assert actions(running.plan(facts, WORK)) == expected


def test_only_a_restart_closes_connections() -> None:
    (restart,) = running.plan(replace(AS_DECLARED, applied=STALE), WORK)
    assert (restart.effect, restart.lock) == (Effect.RESTART, "every connection is closed")
    (limits,) = running.plan(replace(AS_DECLARED, limits=Limits()), WORK)
    assert limits.reason == (
        "it has memory without a limit, every processor, processes without a limit, "
        "declared are memory 64 MiB, 0.5 processors, 64 processes"
    )


def test_a_file_that_is_read_again_needs_no_restart() -> None:
    noted = replace(WORK, spec=container_product.spec(note="read me"))
    assert noted.keys.restart == WORK.keys.restart
    assert noted.keys.reload != WORK.keys.reload
    other = replace(WORK, spec=container_product.spec(databases=3))
    assert other.keys.restart != WORK.keys.restart


def test_no_limit_is_taken_away_in_the_engines_words() -> None:
    assert Limits().update == {"Memory": 0, "MemorySwap": -1, "NanoCpus": 0, "PidsLimit": -1}
    assert Limits.from_json({"memory": 1024.0, "nanoCpus": 5e8, "pids": 3.0}) == Limits(1024, 500_000_000, 3)


def test_from_nothing_to_answering_and_a_second_time_nothing(stage: Stage) -> None:
    assert actions(stage.prepare(SPEC)) == [
        ("write", "file config/third.conf of third"),
        ("write", "file config/note of third"),
        ("write", "file secrets/password.conf of third"),
        ("create", "data of third"),
    ]
    stage.make_container(SPEC)
    assert actions(stage.apply(SPEC)) == [
        ("set", f"limits of container {stage.site.container}"),
        ("start", "server third"),
    ]
    assert stage.plan(SPEC) == []
    assert stage.apply(SPEC) == []
    assert stage.prepare(SPEC) == []
    host = stage.api.inspect_container(stage.site.container)["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (LIMITS.memory, LIMITS.nano_cpus, LIMITS.pids)


def test_what_was_done_by_hand_is_mended(stage: Stage) -> None:
    stage.up(SPEC)
    name = stage.site.container
    for by_hand in (
        lambda: stage.api.pause(name),
        lambda: stage.api.stop(name),
        lambda: stage.api.kill(name),
        lambda: stage.api.update_container(name, mem_limit="32m", memswap_limit="32m"),
        lambda: stage.api.disconnect_container_from_network(name, stage.network),
    ):
        by_hand()
        assert stage.plan(SPEC) != []
        stage.apply(SPEC)
        assert stage.plan(SPEC) == []


def test_a_reload_reaches_the_server_and_is_noted(stage: Stage) -> None:
    stage.up(SPEC)
    before = stage.api.inspect_container(stage.site.container)["State"]
    noted = container_product.spec(note="read me")
    stage.prepare(noted)
    assert actions(stage.apply(noted)) == [("reload", "server third")]
    after = stage.api.inspect_container(stage.site.container)["State"]
    assert (after["Pid"], after["StartedAt"]) == (before["Pid"], before["StartedAt"])
    assert stage.plan(noted) == []


@pytest.mark.parametrize("stopped", [True, False])
def test_a_start_with_settings_that_are_in_no_file_is_noted(stage: Stage, stopped: bool) -> None:
    stage.up(SPEC)
    other = replace(SPEC, restart_key="another")
    if stopped:
        stage.api.stop(stage.site.container)
    assert stage.prepare(other) == []
    assert actions(stage.apply(other)) == [("start" if stopped else "restart", "server third")]
    assert stage.plan(other) == []


def test_what_a_stopped_server_will_read_is_noted_with_its_files(stage: Stage) -> None:
    stage.up(SPEC)
    stage.api.stop(stage.site.container)
    other = container_product.spec(databases=3)
    stage.prepare(other)
    stage.api.start(stage.site.container)
    wait_until(lambda: stage.plan(other) == [])


@pytest.mark.parametrize(
    ("other", "action"),
    [(container_product.spec(databases=3), "restart"), (container_product.spec(note="read me"), "reload")],
)
def test_a_server_that_came_back_with_files_taken_back_since_is_told_again(
    stage: Stage, other: ServerSpec, action: str
) -> None:
    """An `up` died between writing and telling, the engine started the server with what was written, and it was undone."""
    stage.up(SPEC)
    stage.prepare(other)
    assert actions(stage.plan(other)) == [(action, "server third")]
    stage.api.restart(stage.site.container)
    stage.prepare(SPEC)
    assert actions(stage.plan(SPEC)) == [(action, "server third")]
    stage.apply(SPEC)
    assert stage.plan(SPEC) == []


def test_files_put_back_for_a_stopped_server_are_what_it_will_have_read(stage: Stage) -> None:
    stage.up(SPEC)
    stage.api.stop(stage.site.container)
    stage.prepare(container_product.spec(databases=3))
    contents.put_back(stage.contents(SPEC))
    assert contents.plan(contents.read(stage.contents(SPEC)), stage.contents(SPEC)) == []
    stage.api.start(stage.site.container)
    wait_until(lambda: stage.plan(SPEC) == [])


def test_the_version_is_told_whatever_it_took(stage: Stage) -> None:
    stage.prepare(SPEC)
    stage.make_container(SPEC)
    for spec in (SPEC, SPEC, container_product.spec(databases=3)):
        stage.prepare(spec)
        assert stage.outcome(spec).version.startswith("7.")
    stage.api.pause(stage.site.container)
    assert stage.outcome(spec).version.startswith("7.")


def test_a_reload_that_does_not_arrive_is_an_error_and_stays_due(stage: Stage) -> None:
    stage.up(SPEC)
    noted = replace(container_product.spec(note="read me"), reload_signal="SIGNONSENSE")
    stage.prepare(noted)
    with pytest.raises(TargetError, match="reload third"):
        stage.apply(noted)
    assert actions(stage.plan(noted)) == [("reload", "server third")]


def test_after_a_reload_a_crashed_server_still_comes_back_by_the_engine(stage: Stage) -> None:
    """The engine's own kill would count as somebody's stop."""
    stage.up(SPEC)
    noted = container_product.spec(note="read me")
    stage.prepare(noted)
    stage.apply(noted)
    name = stage.site.container
    crash = stage.api.exec_create(name, ["sh", "-c", "kill -TERM 1"], user=stage.site.user)
    stage.api.exec_start(crash["Id"])
    wait_until(lambda: stage.api.inspect_container(name)["RestartCount"] == 1, seconds=20)
    wait_until(lambda: stage.plan(noted) == [], seconds=20)


def test_a_setting_of_the_start_restarts_and_only_then(stage: Stage) -> None:
    stage.up(SPEC)
    started = stage.api.inspect_container(stage.site.container)["State"]["StartedAt"]
    other = container_product.spec(databases=3)
    stage.prepare(other)
    assert actions(stage.apply(other)) == [("restart", "server third")]
    assert stage.api.inspect_container(stage.site.container)["State"]["StartedAt"] != started
    assert stage.plan(other) == []


def test_a_server_that_ends_at_once_is_told_with_its_own_words_and_without_secrets(stage: Stage) -> None:
    broken = replace(SPEC, start=("server", "{config}/third.conf", "--bind", "correct-horse-battery"))
    stage.prepare(broken)
    stage.make_container(broken)
    with pytest.raises(TargetError, match="it ended at once") as caught:
        stage.apply(broken)
    assert "circlepay logs --server third" in caught.value.hint
    assert "[secret]" in caught.value.message
    assert "correct-horse-battery" not in caught.value.message


def test_a_taken_port_says_which(stage: Stage) -> None:
    stage.prepare(SPEC)
    stage.make_container(SPEC)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", stage.port))
        stranger.listen()
        with (
            pytest.raises(TargetError, match=r"in use|allocated") as caught,
            engine.connected(engine.DEFAULT_ENGINE, "start third", f"127.0.0.1:{stage.port}") as api,
        ):
            running.apply(replace(stage.work(SPEC), api=api), cancelled=threading.Event(), progress=lambda _: None)
    assert "another port" in caught.value.hint
    assert str(stage.port) in caught.value.path
    stage.apply(SPEC)
    assert stage.plan(SPEC) == []


def test_a_stop_is_orderly_and_a_second_one_is_nothing(stage: Stage) -> None:
    stage.up(SPEC)
    running.stop(stage.api, SPEC, stage.site.container, progress=lambda _: None)
    state = stage.api.inspect_container(stage.site.container)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    running.stop(stage.api, SPEC, stage.site.container, progress=lambda _: None)


def test_a_paused_server_is_stopped_too(stage: Stage) -> None:
    stage.up(SPEC)
    stage.api.pause(stage.site.container)
    running.stop(stage.api, SPEC, stage.site.container, progress=lambda _: None)
    assert stage.api.inspect_container(stage.site.container)["State"]["Status"] == "exited"


def test_a_server_that_does_not_end_is_never_killed(stage: Stage) -> None:
    deaf = replace(SPEC, stop_timeout=1.0)
    stage.prepare(SPEC)
    stage.api.create_container(
        stage.site.image,
        name=stage.site.container,
        entrypoint=["sh", "-c", "trap '' TERM INT; while true; do sleep 1; done"],
        labels=dict(stage.site.labels),
    )
    stage.api.start(stage.site.container)
    with pytest.raises(TargetError, match="it still runs 1 s after") as caught:
        running.stop(stage.api, deaf, stage.site.container, progress=lambda _: None)
    assert "not killed" in caught.value.hint
    assert stage.api.inspect_container(stage.site.container)["State"]["Status"] == "running"


def test_waiting_can_be_cancelled(stage: Stage) -> None:
    stage.prepare(SPEC)
    stage.make_container(SPEC)
    wrong = replace(stage, port=stage.port - 1)
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(TargetError, match="cancelled"):
        wrong.apply(SPEC, cancelled)
