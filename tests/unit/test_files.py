"""Files are replaced as a whole or not at all, by whoever may and with nothing left beside them."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from infra import files


def test_a_file_appears_and_is_replaced(tmp_path: Path) -> None:
    for content in (b"old", b"\0new\n", b""):
        files.replace(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nobody_else_reads_it_whatever_the_umask(tmp_path: Path) -> None:
    for mask in (0, 0o777):
        before = os.umask(mask)
        try:
            files.replace(tmp_path / "file", b"")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == files.FILE_MODE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_it_is_given_to_its_owner(tmp_path: Path) -> None:
    files.replace(tmp_path / "file", b"", owner=(65534, 65533))
    status = (tmp_path / "file").stat()
    assert (status.st_uid, status.st_gid) == (65534, 65533)


@pytest.mark.parametrize("step", ["fchmod", "fsync", "rename"])
def test_a_failure_at_any_step_leaves_the_old_file(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files.replace(tmp_path / "file", b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space"):
            files.replace(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_many_writers_at_once_never_mix(tmp_path: Path) -> None:
    contents = [bytes([number]) * 10_000 for number in range(6)]

    def write(content: bytes) -> None:
        for _ in range(10):
            files.replace(tmp_path / "file", content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (tmp_path / "file").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("put", "cause"),
    [
        (os.mkfifo, "is not an ordinary file"),
        (_socket, "is not an ordinary file"),
        (lambda path: path.symlink_to("/etc/hostname"), "is a symbolic link, which is never followed"),
        (Path.mkdir, "Is a directory"),
        (lambda path: path.write_bytes(b"12345"), "is larger than 4 bytes"),
    ],
    ids=["pipe", "socket", "link", "folder", "large"],
)
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path: Path, put: Callable[[Path], None], cause: str) -> None:
    put(tmp_path / "file")
    with pytest.raises(OSError, match=cause):
        files.read(tmp_path / "file", largest=4)


def test_a_link_is_followed_where_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text\r\n")
    (tmp_path / "link").symlink_to("file")
    assert files.read_text(tmp_path / "link", follow=True) == "text\r\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_refused_where_that_matters(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert files.read(tmp_path / "file", owner=0) == b""
    os.chown(tmp_path / "file", 65534, 65534)
    with pytest.raises(files.IrregularFileError, match=r"another user \(uid 65534\)"):
        files.read(tmp_path / "file", owner=0)
