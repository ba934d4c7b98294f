"""Files and data of a server on its volumes: planned purely, done on the engine of this machine."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from docker.errors import APIError

from infra.changes import Change, Effect
from infra.errors import TargetError
from infra.targets.containers import applied, archives, contents, one_shot, ownership
from infra.targets.containers.contents import Facts, Work
from infra.targets.containers.site import FILES_ROOT, Site
from tests.support import container_product
from tests.unit.targets.containers.conftest import Stage

SPEC = container_product.spec()
SITE = Site("third-circlepay", "sha256:0", "999:998", "third_data", "/data", "/data", "third_files", 7007)
NOBODY: Any = None
WORK = Work(NOBODY, SPEC, SITE, {"password": "correct-horse-battery"})
FILES = {path: archives.declared_file(content, SITE.owner) for path, content in WORK.declared.items()}
AS_DECLARED = Facts(FILES, has_data=True, data_mode=0o700)


def actions(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.action, change.subject) for change in changes]


def test_nothing_differs_nothing_is_planned() -> None:
    assert contents.plan(AS_DECLARED, WORK) == []


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "is missing"),
        ("0" * 64 + " 0600 uid 999", "its content is not the declared one"),
        (FILES["config/note"].replace("0600", "0644"), "its mode and owner are 0644 uid 999, declared 0600 uid 999"),
        (FILES["config/note"].replace("uid 999", "uid 0"), "its mode and owner are 0600 uid 0, declared 0600 uid 999"),
        ("something else", "its content is not the declared one"),
    ],
)
def test_each_difference_of_a_file_is_one_change(state: str | None, reason: str) -> None:
    files = {**FILES, "config/note": state}
    facts = replace(AS_DECLARED, files={path: found for path, found in files.items() if found})
    (change,) = contents.plan(facts, WORK)
    assert (change.action, change.reason, change.effect) == ("write", reason, Effect.RELOAD)


def test_a_file_of_the_start_says_that_it_restarts() -> None:
    files = {path: state for path, state in FILES.items() if path != "config/third.conf"}
    (change,) = contents.plan(replace(AS_DECLARED, files=files), WORK)
    assert change.effect is Effect.RESTART


@pytest.mark.parametrize("facts", [Facts(FILES), replace(AS_DECLARED, initializing=True)])
def test_data_that_is_not_complete_is_created(facts: Facts) -> None:
    assert actions(contents.plan(facts, WORK)) == [("create", "data of third")]


@pytest.mark.parametrize("mode", [0o755, None])
def test_an_open_data_folder_is_closed(mode: int | None) -> None:
    (change,) = contents.plan(replace(AS_DECLARED, data_mode=mode), WORK)
    assert (change.action, change.subject) == ("set", "folder data of third")


def test_secrets_stay_out_of_other_files() -> None:
    declared = WORK.declared
    assert declared["secrets/password.conf"] == 'requirepass "correct-horse-battery"\n'
    assert "secrets/initial" not in declared
    assert not any("correct-horse" in text for path, text in declared.items() if not path.startswith("secrets/"))


def test_files_arrive_with_owner_and_mode_and_can_only_be_read_by_the_server(stage: Stage) -> None:
    stage.up(SPEC)
    listing = stage.api.exec_create(
        stage.site.container, ["sh", "-c", f"cd {FILES_ROOT} && stat -c '%a %u %n' config config/* secrets secrets/*"]
    )
    uid = str(stage.site.owner.uid)
    lines = stage.api.exec_start(listing["Id"]).decode().splitlines()
    assert lines == [
        f"700 {uid} config",
        f"600 {uid} config/note",
        f"600 {uid} config/third.conf",
        f"700 {uid} secrets",
        f"600 {uid} secrets/password.conf",
    ]
    attempt = stage.api.exec_create(stage.site.container, ["sh", "-c", f"echo >>{FILES_ROOT}/config/note"])
    assert b"Read-only file system" in stage.api.exec_start(attempt["Id"])


def test_data_is_the_servers_alone_and_stays_so_when_a_container_is_made(stage: Stage) -> None:
    plain = replace(SPEC, initialize=(), data_format=replace(SPEC.data_format, file=""))
    stage.prepare(plain)
    for _ in range(2):
        with one_shot.carrier(stage.api, stage.site) as container:
            assert archives.mode_of(stage.api, container, stage.site.data) == 0o700
    stage.make_container(plain)
    assert archives.mode_of(stage.api, stage.site.container, stage.site.data) == 0o700
    assert contents.plan(contents.read(stage.contents(plain)), stage.contents(plain)) == []


def test_looking_makes_no_volume(stage: Stage) -> None:
    absent = replace(stage, site=replace(stage.site, data_volume=f"{stage.site.data_volume}-absent"))
    assert contents.read(absent.contents(SPEC)) == Facts()
    assert ownership.inspected_volume(stage.api, absent.site.data_volume) is None


def test_an_initialisation_that_failed_leaves_nothing_and_tells_why_without_secrets(stage: Stage) -> None:
    failing = container_product.spec(initialize="echo left >{data}/FORMAT; cat /run/circlepay/initial; exit 3")
    with pytest.raises(TargetError, match="it failed") as caught:
        stage.prepare(failing)
    assert "[secret]" in caught.value.message
    assert "correct-horse" not in caught.value.message
    assert not contents.read(stage.contents(SPEC)).has_data
    stage.prepare(SPEC)
    assert contents.read(stage.contents(SPEC)).has_data


@pytest.mark.parametrize("path", ["FORMAT.old", "base/1/1259"])
def test_a_folder_with_files_is_never_initialised_over(stage: Stage, path: str) -> None:
    """Data that lost the file by which it is known: what initialises refuses it, and would be cleaned up after."""
    lost = archives.packed({path: "rows"}, ("base", "base/1"), stage.site.owner)
    with one_shot.carrier(stage.api, stage.site) as container:
        stage.api.put_archive(container, stage.site.data, lost)
    for _ in range(2):
        with pytest.raises(TargetError, match="there are files in it, but no FORMAT: this is no data of third"):
            stage.prepare(SPEC)
        contents.abandon(stage.contents(SPEC))
    with one_shot.carrier(stage.api, stage.site) as container:
        assert archives.read_text(stage.api, container, f"{stage.site.data}/{path}") == "rows"


def test_what_cannot_be_looked_at_is_not_taken_for_absent(stage: Stage) -> None:
    with one_shot.carrier(stage.api, stage.site) as container:
        assert archives.mode_of(stage.api, container, "/nowhere") is None
        with pytest.raises(APIError):
            archives.mode_of(stage.api, container, "")


def test_an_empty_folder_is_told_from_one_with_something_in_it(stage: Stage) -> None:
    with one_shot.carrier(stage.api, stage.site) as container:
        assert archives.is_empty(stage.api, container, stage.site.data)
        assert archives.is_empty(stage.api, container, "/nowhere")
        assert not archives.is_empty(stage.api, container, "/etc")
        for folder in ("only", "only/folders"):
            stage.api.put_archive(container, stage.site.data, archives.packed({}, (folder,), stage.site.owner))
            assert not archives.is_empty(stage.api, container, stage.site.data)


@pytest.mark.parametrize("started", [False, True])
def test_an_initialisation_that_was_killed_is_finished_or_begun_anew(stage: Stage, started: bool) -> None:
    slow = container_product.spec(initialize="echo half >{data}/HALF; sleep 1; echo 7 >{data}/FORMAT")
    stop = threading.Event()
    stop.set()
    if started:
        with pytest.raises(TargetError, match="cancelled"):
            stage.prepare(slow, stop)
    else:
        contents.write(stage.contents(slow), stage.contents(slow).declared)
        one_shot.create(stage.api, stage.site, ("true",), "initialize", name=f"{stage.site.container}-initialize")
    assert contents.read(stage.contents(slow)).initializing
    assert ("create", "data of third") in actions(stage.prepare(slow))
    facts = contents.read(stage.contents(slow))
    assert (facts.has_data, facts.initializing) == (True, False)


def test_what_is_wanted_once_is_on_no_volume(stage: Stage) -> None:
    stage.prepare(container_product.spec(initialize="grep -q horse /run/circlepay/initial && echo 7 >{data}/FORMAT"))
    with one_shot.carrier(stage.api, stage.site) as container:
        assert set(archives.states(archives.fetch(stage.api, container, FILES_ROOT))) == {*FILES, applied.PATH}


def test_data_of_another_version_is_refused_with_the_way_out(stage: Stage) -> None:
    stage.prepare(container_product.spec(initialize="echo 6 >{data}/FORMAT"))
    with pytest.raises(TargetError, match="made by version 6, this image is version 7") as caught:
        stage.prepare(SPEC)
    assert "circlepay:docker.thirdImage" in caught.value.hint
    assert "dump" in caught.value.hint


def test_old_nameless_containers_of_ours_are_swept_and_young_or_foreign_ones_are_not(
    stage: Stage, elsewhere: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = one_shot.create(stage.api, stage.site, ("true",), one_shot.CARRIER)
    foreign = one_shot.create(stage.api, elsewhere.site, ("true",), one_shot.CARRIER)
    try:
        one_shot.sweep(stage.api, stage.site)
        assert ownership.inspected(stage.api, own) is not None
        monkeypatch.setattr(one_shot, "LEFTOVER_AGE", -5.0)
        one_shot.sweep(stage.api, stage.site)
        assert ownership.inspected(stage.api, own) is None
        assert ownership.inspected(stage.api, foreign) is not None
    finally:
        one_shot.remove(stage.api, foreign)


def test_a_full_disk_is_told_by_its_own_words_and_leaves_no_half_made_data(stage: Stage) -> None:
    small = f"{stage.site.data_volume}-small"
    stage.api.create_volume(
        small, driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, labels=stage.site.labels
    )
    full = replace(stage, site=replace(stage.site, data_volume=small))
    large = container_product.spec(initialize="head -c 4000000 /dev/zero >{data}/FORMAT")
    with pytest.raises(TargetError, match="No space left on device") as caught:
        full.prepare(large)
    assert "no space left" in caught.value.hint
    assert not contents.read(full.contents(SPEC)).has_data


@pytest.mark.parametrize("whole", [False, True])
def test_an_initialisation_given_up_leaves_whole_data_or_none(stage: Stage, whole: bool) -> None:
    slow = container_product.spec(initialize="echo 7 >{data}/FORMAT; sleep " + ("0" if whole else "60"))
    stop = threading.Event()
    stop.set()
    with suppress(TargetError):
        stage.prepare(slow, stop)
    if whole:
        name = f"{stage.site.container}-initialize"
        if ownership.inspected(stage.api, name) is None:
            one_shot.create(stage.api, stage.site, ("true",), "initialize", name=name)
            stage.api.start(name)
        stage.api.wait(name)
    contents.abandon(stage.contents(slow))
    facts = contents.read(stage.contents(slow))
    assert (facts.has_data, facts.initializing) == (whole, False)
    contents.abandon(stage.contents(slow))


def test_what_was_changed_by_hand_is_seen_by_the_next_process_and_by_every_prepare(stage: Stage) -> None:
    stage.up(SPEC)
    work = stage.contents(SPEC)
    assert contents.plan(contents.read(work), work) == []
    content = archives.packed({"config/note": "by hand"}, ("config",), stage.site.owner)
    with one_shot.carrier(stage.api, stage.site) as container:
        stage.api.put_archive(container, FILES_ROOT, content)
    assert actions(stage.prepare(SPEC)) == [("write", "file config/note of third")]
    assert contents.plan(contents.read(work), work) == []
