from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import TargetError
from infra.targets import data_root, ports
from infra.targets.data_root import MARK
from infra.targets.location import claimant
from infra.targets.processes import placement
from infra.targets.processes.placement import UNHEARD, Mark
from tests.support.dummy_product import SECRETS, spec
from tests.support.placements import AS_ROOT, PROJECT, Stage, kill_server, open_folder, staged


def test_the_same_place_twice_is_the_same_place(stage: Stage) -> None:
    first = stage.place(spec())
    assert stage.place(spec()) == first
    assert placement.load(first.folder) == first
    assert first.folder == stage.root / "0123456789" / "local" / "dummy"
    assert first.port == stage.first_port


def test_the_mark_says_whose_folder_it_is(stage: Stage) -> None:
    place = stage.place(spec())
    mark = json.loads((place.folder / MARK).read_text())
    assert "CirclePay" in mark.pop("circlepay")
    assert Mark(**mark) == Mark(
        "local", str(PROJECT), "dummy", "127.0.0.1", place.port, "first", "circlepay" if AS_ROOT else None
    )
    assert (place.folder / MARK).stat().st_mode & 0o777 == 0o600


def test_nobody_else_can_list_the_folders_above(stage: Stage) -> None:
    place = stage.place(spec())
    mode = 0o711 if AS_ROOT else 0o700
    for folder in (stage.root, *(place.folder.parents[:2]), place.folder):
        assert folder.stat().st_mode & 0o777 == mode, folder
        assert folder.stat().st_uid == os.geteuid()


# --- ports


def test_the_documented_port_is_taken_if_free_and_else_the_next_and_kept(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", stage.first_port)):
        place = stage.place(spec())
        assert stage.first_port < place.port < stage.first_port + 50
    assert stage.place(spec()).port == place.port, "the documented port is free again, but the server keeps its own"


def test_a_port_somebody_took_before_the_server_ever_ran_is_given_up(stage: Stage) -> None:
    place = stage.place(spec())
    with socket.create_server(("127.0.0.1", place.port)):
        assert placement.wants_another_port(place)
        moved = stage.place(spec())
    assert moved.port != place.port
    stage.apply(moved, spec(), SECRETS)
    stage.stop(moved, spec())
    with socket.create_server(("127.0.0.1", moved.port)):
        assert not placement.wants_another_port(moved), "others know this port by now"
        assert stage.place(spec()).port == moved.port


def test_a_server_of_the_earlier_release_has_run_too(stage: Stage) -> None:
    """It left its spec where this one leaves its note."""
    place = stage.place(spec())
    (place.folder / UNHEARD).unlink()
    place.sub("run").mkdir()
    (place.sub("run") / "spec.json").touch()
    with socket.create_server(("127.0.0.1", place.port)):
        assert not placement.wants_another_port(place)


def test_two_stacks_and_two_clones_get_different_ports(stage: Stage, tmp_path: Path) -> None:
    places = [stage.place(spec()), stage.place(spec(), stack="other"), stage.place(spec(), clone="9876543210")]
    assert len({place.port for place in places}) == 3


AT_ONCE = """
import sys
from pathlib import Path
from tests.support.dummy_product import spec
from tests.support.placements import Stage
stage = Stage(Path(sys.argv[1]), first_port=int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
print(*[stage.place(spec(), clone=sys.argv[3], stack=f"s{number}").port for number in range(8)])
"""


def test_clones_that_ask_at_the_same_moment_get_different_ports(stage: Stage) -> None:
    command = [sys.executable, "-c", AT_ONCE, str(stage.root), str(stage.first_port)]
    pipe = subprocess.PIPE
    children = [
        subprocess.Popen([*command, f"{number:010d}"], stdin=pipe, stdout=pipe, text=True, cwd=PROJECT)
        for number in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    found = [port for child in children for port in child.communicate(timeout=60)[0].split()]
    assert len(found) == len(set(found)) == 32


def test_an_explicit_port_that_is_taken_is_an_error_with_the_owner(stage: Stage) -> None:
    port = stage.first_port + 100
    with socket.create_server(("127.0.0.1", port)), pytest.raises(TargetError) as caught:
        stage.place(spec(), port=port)
    assert caught.value.path == f"127.0.0.1:{port}"
    assert f"taken by pid {os.getpid()}" in caught.value.cause
    assert "circlepay:dummy.port" in caught.value.hint
    assert not (stage.root / "0123456789/local/dummy").exists()


def test_an_explicit_port_kept_for_another_stack_is_an_error_with_its_name(stage: Stage) -> None:
    other = stage.place(spec(), stack="other")
    with pytest.raises(TargetError, match=f"reserved for dummy of stack other in {PROJECT}"):
        stage.place(spec(), port=other.port)


def test_the_port_of_a_clone_that_was_deleted_is_free_again(stage: Stage, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    gone = stage.place(spec(), clone="9876543210", project_root=clone)
    clone.rmdir()
    ports.release(claimant("9876543210", "local", "dummy"))  # its run has ended
    assert stage.place(spec()).port == gone.port


def test_another_explicit_port_moves_and_is_kept(stage: Stage) -> None:
    first = stage.place(spec())
    moved = stage.place(spec(), port=first.port + 300)
    assert moved.port == first.port + 300
    assert stage.place(spec()) == moved == placement.load(first.folder)


def test_its_own_port_may_be_asked_for_while_its_server_runs(stage: Stage) -> None:
    place = stage.place(spec())
    stage.apply(place, spec(), SECRETS)
    assert stage.place(spec(), port=place.port) == place


# --- what is not ours


def test_somebody_elses_folder_is_refused_and_untouched(stage: Stage) -> None:
    folder = stage.place(spec(), stack="other").folder.parents[1] / "local" / "dummy"
    folder.mkdir(parents=True)
    (folder / "precious").write_text("theirs")
    with pytest.raises(TargetError, match=r"this folder is not ours: there is something in it, but no circlepay.json"):
        stage.place(spec())
    assert [path.name for path in folder.iterdir()] == ["precious"]
    assert placement.load(folder) is None
    with pytest.raises(TargetError, match="not ours"):
        placement.remove(folder)
    assert (folder / "precious").read_text() == "theirs"


def test_an_empty_folder_is_taken(stage: Stage) -> None:
    folder = stage.place(spec(), stack="other").folder.parents[1] / "local" / "dummy"
    folder.mkdir(parents=True)
    assert stage.place(spec()).folder == folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stack": "prod"}, "its stack is prod, not local"),
        ({"server": "other"}, "its server is other, not dummy"),
        ({"project_root": "/else/where"}, "its project_root is /else/where"),
        ({"secrets_id": "second"}, "made with other secrets than this stack's"),
        ({"system_user": "somebody"}, "it was made by root; run as that user"),
    ],
)
def test_a_folder_of_another_stack_is_refused(stage: Stage, change: dict[str, str], message: str) -> None:
    place = stage.place(spec())
    path = place.folder / MARK
    mark = json.loads(path.read_text())
    path.write_text(json.dumps({**mark, **change}))
    with pytest.raises(TargetError, match=message):
        stage.place(spec())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"circlepay": 1}', "\0"])
def test_a_damaged_mark_is_refused(stage: Stage, text: str) -> None:
    place = stage.place(spec())
    (place.folder / MARK).write_text(text)
    with pytest.raises(TargetError, match="is damaged"):
        stage.place(spec())
    with pytest.raises(TargetError, match="is damaged"):
        placement.load(place.folder)


@pytest.mark.parametrize("name", ["relative", "/with\nnewline", "/with/*", "/with/$HOME", '/with/"quotes"', "/a{b}"])
def test_a_data_directory_that_would_confuse_the_servers_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(TargetError, match="must be an absolute path without"):
        replace(stage, root=Path(name)).place(spec())


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user runs the servers itself")
def test_a_data_directory_that_the_servers_user_cannot_enter_is_refused() -> None:
    with open_folder() as folder, staged(folder / "closed" / "data") as stage:
        (folder / "closed").mkdir(mode=0o700)
        with pytest.raises(TargetError, match="user circlepay cannot enter this folder") as caught:
            stage.place(spec())
        assert caught.value.path == str(folder / "closed")


# --- what was there before


def look(path: Path) -> tuple[int, int, int, list[str]]:
    status = path.stat()
    return status.st_mode, status.st_uid, status.st_gid, sorted(found.name for found in path.iterdir())


@pytest.mark.parametrize("mode", [0o755, 0o1777, 0o2775])
def test_a_folder_that_was_there_keeps_owner_mode_and_content_beside_ours(stage: Stage, mode: int) -> None:
    stage.root.mkdir()
    (stage.root / "theirs").write_text("theirs")
    stage.root.chmod(mode)
    before = look(stage.root)
    place = stage.place(spec())
    assert place.folder == stage.root / "circlepay" / "0123456789" / "local" / "dummy"
    assert look(stage.root) == (*before[:3], ["circlepay", "theirs"])
    stage.apply(place, spec(), SECRETS)
    assert stage.place(spec()) == place
    stage.stop(place, spec())


def test_the_data_root_of_the_earlier_release_goes_on(stage: Stage) -> None:
    """It made no mark, and took folders that were there."""
    place = stage.place(spec())
    (stage.root / MARK).unlink()
    assert stage.place(spec()) == place
    (stage.root / "theirs").touch()
    assert stage.place(spec()) == place
    placement.remove(place.folder)
    (stage.root / "theirs").unlink()
    assert stage.place(spec()) == place, "nothing is left in it but its lock"


@pytest.mark.parametrize("kind", ["folder", "file", "link", "filled"])
def test_what_has_our_folders_name_and_no_mark_is_not_ours(stage: Stage, kind: str) -> None:
    own = stage.root / "circlepay"
    stage.root.mkdir()
    {"file": own.touch, "link": lambda: own.symlink_to("elsewhere")}.get(kind, own.mkdir)()
    if kind == "filled":
        (own / "theirs").touch()
    before = own.lstat()
    with pytest.raises(TargetError, match=r"there before, and has no circlepay\.json of ours in it"):
        stage.place(spec())
    assert own.lstat() == before
    assert [path.name for path in stage.root.iterdir()] == ["circlepay"]


@pytest.mark.skipif(not AS_ROOT, reason="only root works below other users' folders")
@pytest.mark.parametrize(
    ("owner", "mode", "whose"), [(65534, 0o755, r"another user \(uid 65534\)"), (0, 0o777, "every user")]
)
def test_root_keeps_no_data_where_others_can_put_something_in_its_place(
    stage: Stage, owner: int, mode: int, whose: str
) -> None:
    stage.root.mkdir()
    os.chown(stage.root, owner, 0)
    stage.root.chmod(mode)
    before = look(stage.root)
    with pytest.raises(TargetError, match=whose):
        stage.place(spec())
    assert look(stage.root) == before


def test_the_umask_does_not_close_a_new_data_root_to_the_servers(stage: Stage) -> None:
    deep = replace(stage, root=stage.root / "new" / "data")
    before = os.umask(0o077)
    try:
        place = deep.place(spec())
    finally:
        os.umask(before)
    deep.apply(place, spec(), SECRETS)
    deep.stop(place, spec())


# --- the end


def test_remove_deletes_the_data_and_what_is_empty_above_it(stage: Stage) -> None:
    first, second = stage.place(spec()), stage.place(spec(), stack="other")
    stage.apply(first, spec(), SECRETS)
    stage.stop(first, spec())
    placement.remove(first.folder)
    assert not first.folder.parent.exists()
    assert second.folder.exists()
    placement.remove(second.folder)
    assert not first.folder.parents[1].exists()
    assert stage.root.exists()
    placement.remove(first.folder)
    assert placement.load(first.folder) is None


def test_remove_refuses_while_the_server_runs(stage: Stage) -> None:
    place = stage.place(spec())
    stage.apply(place, spec(), SECRETS)
    with pytest.raises(TargetError, match="its server still runs"):
        placement.remove(place.folder)
    assert stage.read(place, spec(), SECRETS).version
    kill_server(place)
    placement.remove(place.folder)


def test_a_remove_that_was_killed_goes_on(stage: Stage) -> None:
    place = stage.place(spec())
    stage.apply(place, spec(), SECRETS)
    stage.stop(place, spec())
    shutil.rmtree(place.sub("data"))
    shutil.rmtree(place.sub("run"))
    placement.remove(place.folder)
    assert not place.folder.exists()


def test_remove_follows_no_link_out_of_the_folder(stage: Stage, tmp_path: Path) -> None:
    place = stage.place(spec())
    (tmp_path / "precious").write_text("theirs")
    (place.folder / "data").symlink_to(tmp_path)
    placement.remove(place.folder)
    assert (tmp_path / "precious").exists()


def test_what_a_killed_place_left_is_swept(stage: Stage) -> None:
    place = stage.place(spec())
    placement.remove(place.folder)
    leftover = place.folder.with_name(".dummy.0badcafe.new")
    leftover.mkdir(parents=True)
    stage.place(spec())
    assert not leftover.exists()


def test_the_default_data_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert data_root.default() == Path("/var/lib/circlepay")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_root.default() == tmp_path / "circlepay"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root.default() == tmp_path / ".local/share/circlepay"
