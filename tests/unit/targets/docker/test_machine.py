"""A server in its container, on the engine of this machine: what no other machine has.

Limits, a network, volumes, a pause, a health check, an engine that starts servers again by itself. What every machine
promises is in tests/machines/.
"""

from __future__ import annotations

import io
import socket
import tarfile
from collections.abc import Callable
from dataclasses import replace

import pytest
from docker.errors import APIError

from infra.errors import TargetError
from infra.targets.docker import archives, engine, one_shot, ownership
from infra.targets.docker.container_location import FILES_ROOT
from infra.targets.docker.limits import MEBIBYTE, Limits
from infra.targets.docker.machine import ContainerMachine
from infra.targets.docker.target import TARGET
from infra.targets.machine import APPLIED_FILE, DataKind
from infra.targets.spec import ServerSpec
from infra.targets.target import Mishaps
from tests.support import container_product
from tests.support.container_places import LIMITS, make_container
from tests.support.placements import wait_until
from tests.support.server_verbs import actions
from tests.unit.targets.docker.conftest import Stage

SPEC = container_product.spec()


# Limits, network, pause -----------------------------------------------------------------------------------------------


def test_no_limit_is_taken_away_in_the_engines_words() -> None:
    unlimited: dict[str, int | str] = {"Memory": 0, "MemorySwap": -1, "NanoCpus": 0, "PidsLimit": -1}
    assert Limits().update(Limits(), 4) == unlimited
    confined = Limits(processors="2", shares=512)
    assert Limits().update(confined, 4) == {**unlimited, "CpusetCpus": "0-3", "CpuShares": 1024}
    assert Limits().update(confined, 1)["CpusetCpus"] == "0"
    declared = Limits.of({"memory": 1024, "nanoCpus": 500_000_000, "pids": 3})
    limited = {"Memory": 1024, "MemorySwap": 1024, "NanoCpus": 500_000_000, "PidsLimit": 3}
    assert declared.update(Limits(), 4) == limited


@pytest.mark.parametrize("nothing", [None, 0, -1])
def test_the_engine_has_three_words_for_no_limit(nothing: int | None) -> None:
    assert Limits.observed({"Memory": 0, "NanoCpus": None, "PidsLimit": nothing}, 4) == Limits()
    assert Limits.observed({"CpusetCpus": "0-3", "CpuShares": 1024}, 4) == Limits()
    assert str(Limits.observed({"CpusetCpus": "2", "CpuShares": 512}, 4)).endswith(
        "only processors 2, 512 shares of processor time"
    )


def test_limits_for_people() -> None:
    assert str(Limits.of(LIMITS)) == "memory 64 MiB, 0.5 processors, 64 processes"
    assert str(Limits()) == "memory without a limit, every processor, processes without a limit"


def test_it_starts_with_its_limits(stage: Stage) -> None:
    stage.up(SPEC)
    host = stage.api.inspect_container(stage.parts.container)["HostConfig"]
    assert {name: host[key] for name, key in zip(LIMITS, ("Memory", "NanoCpus", "PidsLimit"), strict=True)} == LIMITS


def test_what_was_done_by_hand_is_told_and_mended(stage: Stage) -> None:
    stage.up(SPEC)
    name = stage.parts.container
    container, server = f"container {name}", "server third"
    other = stage.api.create_network(f"{stage.network}-other", labels=dict(stage.parts.labels))["Id"]
    by_hand: list[tuple[Callable[[], object], list[tuple[str, str]]]] = [
        (lambda: stage.api.pause(name), [("unpause", container)]),
        (
            lambda: stage.api.update_container(name, mem_limit="32m", memswap_limit="32m"),
            [("set", f"limits of {container}")],
        ),
        (
            lambda: stage.api.update_container(name, cpuset_cpus="0", cpu_shares=512),
            [("set", f"limits of {container}")],
        ),
        (lambda: stage.api.connect_container_to_network(name, other), [("disconnect", container)]),
        (
            lambda: stage.api.disconnect_container_from_network(name, stage.network),
            [("connect", container), ("await", server)],
        ),
    ]
    for done, expected in by_hand:
        done()
        assert actions(stage.plan(SPEC)) == expected
        stage.apply(SPEC)
        assert stage.plan(SPEC) == []
    stage.api.remove_network(other)


def test_limits_that_differ_are_named(stage: Stage) -> None:
    stage.up(SPEC)
    more = replace(stage, location=replace(stage.location, limits={**LIMITS, "memory": 96 * MEBIBYTE, "pids": 0}))
    (change,) = more.apply(SPEC)
    assert change.reason == (
        "it has memory 64 MiB, 0.5 processors, 64 processes, "
        "declared: memory 96 MiB, 0.5 processors, processes without a limit"
    )
    assert more.plan(SPEC) == []


def test_the_version_is_told_after_a_pause_too(stage: Stage) -> None:
    stage.up(SPEC)
    stage.api.pause(stage.parts.container)
    assert stage.outcome(SPEC).version.startswith("7.")


def test_a_pause_ends_once_the_engine_finds_it_healthy_again(stage: Stage) -> None:
    second = 1_000_000_000
    check = {"test": ["CMD", "true"], "interval": second, "timeout": second, "retries": 1}
    stage.up(SPEC, healthcheck=check)
    name = stage.parts.container
    stage.api.pause(name)
    wait_until(lambda: stage.api.inspect_container(name)["State"]["Health"]["Status"] == "unhealthy", seconds=20)
    stage.apply(SPEC)
    assert stage.api.inspect_container(name)["State"]["Health"]["Status"] == "healthy"


def test_a_file_that_became_a_link_is_written_again(stage: Stage) -> None:
    stage.up(SPEC)
    (path,) = [file.path for file in SPEC.files if not file.once][:1]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo(path)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
        record = tarfile.TarInfo(APPLIED_FILE)
        record.type, record.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(record)
    with one_shot.file_access(stage.api, stage.parts) as container:
        stage.api.put_archive(container, FILES_ROOT, stream.getvalue())
    archives.forget(stage.parts.container)
    assert ("write", f"file {path} of {SPEC.name}") in actions(stage.plan(SPEC))
    stage.apply(SPEC)
    assert stage.plan(SPEC) == []


# Volumes --------------------------------------------------------------------------------------------------------------


def test_data_is_the_servers_alone_and_stays_so_when_a_container_is_made(stage: Stage) -> None:
    plain = replace(SPEC, initialize=(), data_format=replace(SPEC.data_format, file=""))
    stage.machine(plain).write({}, folders=("data",))
    for _ in range(2):
        with one_shot.file_access(stage.api, stage.parts) as container:
            assert archives.mode_of(stage.api, container, stage.parts.data) == 0o700
    make_container(stage.location, plain)
    assert archives.mode_of(stage.api, stage.parts.container, stage.parts.data) == 0o700
    assert stage.machine(plain).data() is DataKind.PRESENT


def test_looking_makes_no_volume(stage: Stage) -> None:
    names = {**stage.location.names, "dataVolume": f"{stage.parts.data_volume}-absent"}
    absent = replace(stage, location=replace(stage.location, names=names))
    facts = absent.facts(SPEC)
    assert (facts.files, facts.data) == ({}, DataKind.ABSENT)
    assert absent.machine(SPEC).data_version() is None
    assert ownership.inspected_volume(stage.api, absent.parts.data_volume) is None


def test_what_cannot_be_looked_at_is_not_taken_for_absent(stage: Stage) -> None:
    with one_shot.file_access(stage.api, stage.parts) as container:
        assert archives.mode_of(stage.api, container, "/nowhere") is None
        with pytest.raises(APIError):
            archives.mode_of(stage.api, container, "")


def test_an_empty_folder_is_told_from_one_with_something_in_it(stage: Stage) -> None:
    with one_shot.file_access(stage.api, stage.parts) as container:
        assert archives.is_empty(stage.api, container, stage.parts.data)
        assert archives.is_empty(stage.api, container, "/nowhere")
        assert not archives.is_empty(stage.api, container, "/etc")
        for folder in ("only", "only/folders"):
            stage.api.put_archive(container, stage.parts.data, archives.packed({}, (folder,), stage.parts.owner))
            assert not archives.is_empty(stage.api, container, stage.parts.data)


def test_what_was_changed_by_hand_is_seen_by_the_next_process_and_by_every_apply(stage: Stage) -> None:
    stage.up(SPEC)
    assert stage.plan(SPEC) == []
    content = archives.packed({"config/note": "by hand"}, ("config",), stage.parts.owner)
    with one_shot.file_access(stage.api, stage.parts) as container:
        stage.api.put_archive(container, FILES_ROOT, content)
    assert actions(stage.apply(SPEC)) == [("write", "file config/note of third")]
    assert stage.plan(SPEC) == []


def test_old_nameless_containers_of_ours_are_swept_and_young_or_foreign_ones_are_not(
    stage: Stage, elsewhere: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = one_shot.create(stage.api, stage.parts, ("true",), one_shot.FILE_ACCESS)
    foreign = one_shot.create(stage.api, elsewhere.parts, ("true",), one_shot.FILE_ACCESS)
    try:
        one_shot.sweep(stage.api, stage.parts)
        assert ownership.inspected(stage.api, own) is not None
        monkeypatch.setattr(one_shot, "LEFTOVER_AGE", -5.0)
        one_shot.sweep(stage.api, stage.parts)
        assert ownership.inspected(stage.api, own) is None
        assert ownership.inspected(stage.api, foreign) is not None
    finally:
        one_shot.remove(stage.api, foreign)


def test_somebody_elses_container_is_left_alone(stage: Stage, elsewhere: Stage) -> None:
    stage.up(SPEC)
    for act in (elsewhere.apply, elsewhere.stop):
        with pytest.raises(TargetError, match="it belongs to stack test in /nowhere"):
            act(SPEC)
    assert stage.plan(SPEC) == []


# An engine that starts servers by itself ------------------------------------------------------------------------------


def killed_before(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], *steps: str) -> None:
    """Runs an apply that comes to its end at one of these steps of the machine."""

    class KilledError(Exception):
        pass

    def die(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        for step in steps:
            patch.setattr(ContainerMachine, step, die)
        with pytest.raises(KilledError):
            act()


@pytest.mark.parametrize(
    ("other", "action"),
    [(container_product.spec(databases=3), "restart"), (container_product.spec(note="read me"), "reload")],
)
def test_a_server_that_came_back_with_files_taken_back_since_is_told_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, other: ServerSpec, action: str
) -> None:
    """An `up` died between writing and telling, the engine started the server with what was written, and it was undone."""
    stage.up(SPEC)
    killed_before(monkeypatch, lambda: stage.apply(other), "stop", "reload")
    assert actions(stage.plan(other)) == [(action, "server third")]
    stage.api.restart(stage.parts.container)
    killed_before(monkeypatch, lambda: stage.apply(SPEC), "stop", "reload")
    assert actions(stage.plan(SPEC)) == [(action, "server third")]
    stage.apply(SPEC)
    assert stage.plan(SPEC) == []


def test_a_reload_that_does_not_arrive_is_an_error_and_stays_due(stage: Stage) -> None:
    stage.up(SPEC)
    noted = replace(container_product.spec(note="read me"), reload_signal="SIGNONSENSE")
    with pytest.raises(TargetError, match="signal third"):
        stage.apply(noted)
    assert actions(stage.plan(noted)) == [("reload", "server third")]


def test_after_a_reload_a_crashed_server_still_comes_back_by_the_engine(stage: Stage) -> None:
    """The engine's own kill would count as somebody's stop."""
    stage.up(SPEC)
    noted = container_product.spec(note="read me")
    stage.apply(noted)
    name = stage.parts.container
    crash = stage.api.exec_create(name, ["sh", "-c", "kill -TERM 1"], user=stage.parts.user)
    stage.api.exec_start(crash["Id"])
    wait_until(lambda: stage.api.inspect_container(name)["RestartCount"] == 1, seconds=20)
    wait_until(lambda: stage.plan(noted) == [], seconds=20)
    assert TARGET.mishaps(stage.location) == Mishaps(restarts=1, out_of_memory=False)


# Start and end --------------------------------------------------------------------------------------------------------


def test_a_container_that_is_not_there_cannot_be_started(stage: Stage) -> None:
    with pytest.raises(TargetError, match=r"there is no container of this name\n.*make up"):
        stage.apply(SPEC)
    assert stage.machine(SPEC).data() is DataKind.ABSENT


def test_a_taken_port_says_which(stage: Stage) -> None:
    make_container(stage.location, SPEC)
    port = stage.location.port
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        with (
            pytest.raises(TargetError, match=r"in use|allocated") as caught,
            engine.connected(engine.DEFAULT_ENGINE, "start third", f"127.0.0.1:{port}") as api,
        ):
            replace(stage, api=api).apply(SPEC)
    assert "another port" in caught.value.hint
    assert str(port) in caught.value.path
    stage.apply(SPEC)
    assert stage.plan(SPEC) == []


def test_a_paused_server_is_stopped_too(stage: Stage) -> None:
    stage.up(SPEC)
    stage.api.pause(stage.parts.container)
    stage.stop(SPEC)
    assert stage.api.inspect_container(stage.parts.container)["State"]["Status"] == "exited"
