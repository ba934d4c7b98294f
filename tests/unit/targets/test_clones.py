"""Which clone this is, wherever it was moved or copied to; and what one clone may do to another's servers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.errors import TargetError
from infra.targets import clones, data_root
from infra.targets.clones import adopt, clone_id, refuse_another


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(data_root, "default", lambda: tmp_path / "data")
    return made(tmp_path / "clone")


def made(folder: Path) -> Path:
    (folder / ".circlepay").mkdir(parents=True)
    (folder / "Pulumi.yaml").touch()
    return folder


def test_the_id_is_the_digest_of_the_real_path(clone: Path) -> None:
    (clone / "link").symlink_to(clone)
    assert clone_id(clone / "link") == clone_id(clone)
    assert len(clone_id(clone)) == 10
    refuse_another("stop", clone_id(clone), str(clone), clone)


def test_a_copy_touches_nothing_of_the_original(clone: Path, tmp_path: Path) -> None:
    own, copy = clone_id(clone), tmp_path / "copy"
    shutil.copytree(clone, copy)
    for act in (refuse_another, lambda _operation, *rest: adopt(*rest)):
        with pytest.raises(TargetError, match=f"copy of the clone in {clone}, whose servers") as caught:
            act("stop", own, str(clone), copy)
        assert str(copy / ".circlepay" / "state") in str(caught.value.hint)
    assert clone_id(copy) != own
    assert not clones.is_same(str(clone), str(copy))


def test_a_moved_clone_adopts_what_it_made(clone: Path, tmp_path: Path) -> None:
    own, moved = clone_id(clone), tmp_path / "moved"
    clone.rename(moved)
    with pytest.raises(TargetError, match=f"made by a clone in {clone}, which is gone") as caught:
        refuse_another("stop", own, str(clone), moved)
    assert "circlepay adopt" in str(caught.value.hint)
    adopt(own, str(clone), moved)
    refuse_another("stop", own, str(clone), moved)
    assert clone_id(moved) == own
    assert clones.first_path(moved) == str(clone)
    assert clones.is_same(str(clone), str(moved))


def test_a_clone_moves_twice_and_is_copied_then(clone: Path, tmp_path: Path) -> None:
    own, moved, again = clone_id(clone), tmp_path / "moved", tmp_path / "again"
    clone.rename(moved)
    adopt(own, str(clone), moved)
    shutil.copytree(moved, tmp_path / "copy")
    with pytest.raises(TargetError, match=f"copy of the clone in {moved}"):
        refuse_another("stop", own, str(clone), tmp_path / "copy")  # also where no `up` has told the state of the move
    moved.rename(again)
    adopt(own, str(moved), again)
    assert (clone_id(again), clones.first_path(again)) == (own, str(clone))


def test_a_new_clone_at_the_old_path_is_another(clone: Path, tmp_path: Path) -> None:
    own, moved = clone_id(clone), tmp_path / "moved"
    clone.rename(moved)
    adopt(own, str(clone), moved)
    assert clone_id(made(clone)) != own
    shutil.rmtree(moved)
    assert clone_id(clone) == own
