from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.targets import owned_files
from infra.targets.machine import PRIVATE_FOLDER, UNREADABLE, FileState
from infra.targets.processes.system_user import Account, account

ME = account(None)


def reason(path: Path, content: str) -> str:
    state = owned_files.state(path, ME)
    return "is missing" if state is None else state.difference(FileState.of(content), "me")


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_what_was_written_is_as_declared_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        owned_files.write(tmp_path / "file", "content", ME)
    finally:
        os.umask(old)
    assert reason(tmp_path / "file", "content") == ""
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_text("other"), "its content is not the declared one"),
        (lambda path: path.chmod(0o640), "its mode is 0640, declared 0600"),
        (lambda path: (path.unlink(), path.mkdir()), "has another file type, or cannot be read"),
        (replaced_by_a_pipe, "has another file type, or cannot be read"),
        (
            lambda path: (path.rename(path.with_name("x")), path.symlink_to("x")),
            "has another file type, or cannot be read",
        ),
    ],
)
def test_every_difference_has_its_words(tmp_path: Path, spoil: Callable[[Path], object], expected: str) -> None:
    path = tmp_path / "file"
    owned_files.write(path, "content", ME)
    spoil(path)
    assert reason(path, "content") == expected


def test_writing_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("theirs")
    (tmp_path / "file").symlink_to(tmp_path / "target")
    owned_files.write(tmp_path / "file", "ours", ME)
    assert (tmp_path / "target").read_text() == "theirs"
    assert not (tmp_path / "file").is_symlink()


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    owned_files.write(tmp_path / "file", "old", ME)
    with pytest.raises(UnicodeEncodeError):
        owned_files.write(tmp_path / "file", "\udc80", ME)
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_is_in_a_folder_is_removed_with_all_that_is_in_it_and_no_link_is_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "rows").touch()
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").touch()
    (folder / "below" / "link").symlink_to(kept)
    (folder / "link").symlink_to(kept)
    assert sorted(owned_files.names(folder)) == ["below", "link"]
    for name in ("below", "link", "gone"):
        owned_files.remove(folder / name)
    assert owned_files.names(folder) == []
    assert owned_files.names(kept) == ["rows"]


def test_a_folder_that_became_a_link_is_neither_looked_into_nor_emptied(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "rows").touch()
    (tmp_path / "config").symlink_to(kept)
    assert owned_files.names(tmp_path / "config") == []
    with pytest.raises(NotADirectoryError):
        owned_files.remove(tmp_path / "config" / "rows")
    assert owned_files.names(kept) == ["rows"]


def test_folders_are_made_and_mended_and_links_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    assert owned_files.state(folder, ME) is None
    owned_files.make_folder(folder, ME)
    assert owned_files.state(folder, ME) == PRIVATE_FOLDER
    folder.chmod(0o755)
    state = owned_files.state(folder, ME)
    assert state is not None
    assert state.difference(PRIVATE_FOLDER, "me") == "its mode is 0755, declared 0700"
    owned_files.make_folder(folder, ME)
    assert owned_files.state(folder, ME) == PRIVATE_FOLDER
    (tmp_path / "link").symlink_to(folder)
    state = owned_files.state(tmp_path / "link", ME)
    assert state is not None
    assert state.content == UNREADABLE
    with pytest.raises(NotADirectoryError):
        owned_files.make_folder(tmp_path / "link", ME)


def test_a_file_of_another_user_is_told_apart(tmp_path: Path) -> None:
    owned_files.write(tmp_path / "file", "content", ME)
    state = owned_files.state(tmp_path / "file", Account("somebody", ME.uid + 1, ME.gid))
    assert state is not None
    assert state.difference(FileState.of("content"), "somebody") == f"it belongs to uid {ME.uid}, declared somebody"
