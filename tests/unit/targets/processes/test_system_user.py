from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from infra.errors import TargetError
from infra.targets.processes import system_user
from infra.targets.processes.system_user import Account, account, ensure, refused_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs the servers itself")


def test_an_ordinary_user_runs_its_servers_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert ensure() is None


def test_nobody_by_that_name() -> None:
    with pytest.raises(TargetError, match="this user does not exist"):
        account("no-such-user-here")
    assert account(None).uid == os.geteuid()


@as_root
def test_root_gets_a_system_user_that_cannot_log_in() -> None:
    assert ensure() == "circlepay" == ensure()
    entry = pwd.getpwnam("circlepay")
    assert entry.pw_uid < 1000
    assert entry.pw_shell.endswith("nologin")
    assert entry.pw_gecos.startswith(system_user.COMMENT)


@as_root
def test_somebodys_own_account_of_that_name_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_user, "NAME", "daemon")
    with pytest.raises(TargetError, match="an account of this name that this package did not create"):
        ensure()


def test_the_folder_that_stops_a_user_is_named(tmp_path: Path) -> None:
    stranger = Account("nobody", 65534, 65534)
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for folder in (*tmp_path.parents, tmp_path, outer, inner):
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to(tmp_path):
            folder.chmod(0o755)
    blocked = refused_folder(inner, stranger)
    assert blocked is None or not blocked.is_relative_to(tmp_path)
    outer.chmod(0o700)
    found = refused_folder(inner / "not-yet-there", stranger)
    assert found is not None
    assert found == (blocked or outer)
    assert refused_folder(inner, Account("root", 0, 0)) is None
    assert refused_folder(inner, account(None)) is None


def test_root_of_the_tree_is_open() -> None:
    assert refused_folder(Path("/"), Account("nobody", 65534, 65534)) is None
