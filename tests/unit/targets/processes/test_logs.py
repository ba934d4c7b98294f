"""The end of a log in files, and following it over the change of files."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from infra.errors import TargetError
from infra.operations import logs
from infra.targets.processes.logs import FileLog, current_file


def _collect(log_path: Path, lines: int) -> tuple[list[str], threading.Event, threading.Thread]:
    seen: list[str] = []
    stop = threading.Event()
    found = logs.follow({"one": FileLog(log_path)}, lines, stop=stop.is_set)
    thread = threading.Thread(target=lambda: seen.extend(line for _, line in found))
    thread.start()
    time.sleep(0.3)
    return seen, stop, thread


def test_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("".join(f"{number}\n" for number in range(100)))
    assert FileLog(path).last_lines(3) == ["97", "98", "99"]
    assert FileLog(path).last_lines(0) == []
    assert len(FileLog(path).last_lines(1000)) == 100


def test_bytes_that_are_no_text_do_not_stop_it(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"good\n\xff\xfe\n")
    assert FileLog(path).last_lines(5) == ["good", "\ufffd\ufffd"]


def test_newest_file_of_a_folder_is_the_current_one(tmp_path: Path) -> None:
    for age, name in enumerate(["postgresql-Tue.log", "postgresql-Mon.log", "current_logfiles.json"]):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    os.utime(tmp_path / "current_logfiles.json", (5000, 5000))
    assert current_file(tmp_path).name == "postgresql-Tue.log"


def test_a_file_of_its_own_belongs_to_the_servers_user_whoever_has_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "own.log"
    path.write_text("its own\n")
    assert FileLog(path, os.geteuid()).last_lines(5) == ["its own"]
    with pytest.raises(TargetError, match="belongs to another user"):
        FileLog(path, os.geteuid() + 1).last_lines(5)


def test_what_the_servers_user_put_there_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of somebody else\n")
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "server.log").write_text("its own\n")
    (logs / "link.log").symlink_to("../secret")
    os.mkfifo(logs / "pipe.log")
    if os.geteuid() == 0:
        os.link(tmp_path / "secret", logs / "hard.log")
        for path in (logs, logs / "server.log"):
            os.chown(path, 65534, 65534)
    os.utime(logs / "server.log", (1000, 1000))
    assert FileLog(logs).last_lines(9) == ["its own"]
    with pytest.raises(TargetError, match="is a symbolic link, which is never followed"):
        FileLog(logs / "link.log").last_lines(9)


@pytest.mark.parametrize("kind", ["absent", "empty folder"])
def test_no_log_says_what_to_type(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "absent" if kind == "absent" else tmp_path
    with pytest.raises(TargetError, match="make up"):
        current_file(path)


def test_log_of_another_user_says_who_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with socket.socket(socket.AF_UNIX) as unopenable:  # for root too
        unopenable.bind(str(path))
    with pytest.raises(TargetError, match="as the user who ran `make up`, or as root"):
        FileLog(path).last_lines(1)


def test_following_shows_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("old\nlast\n")
    seen, stop, thread = _collect(path, 1)
    with path.open("a") as file:
        file.write("new\nhalf")
        file.flush()
        time.sleep(0.5)
        half_way = "half" in seen
        file.write(" whole\n")
    stop.set()
    thread.join(5)
    assert seen == ["last", "new", "half whole"]
    assert not half_way


def test_following_goes_on_in_the_next_file(tmp_path: Path) -> None:
    (tmp_path / "postgresql-Mon.log").write_text("monday\n")
    seen, stop, thread = _collect(tmp_path, 5)
    (tmp_path / "postgresql-Tue.log").write_text("tuesday\n")
    time.sleep(0.6)
    stop.set()
    thread.join(5)
    assert seen == ["monday", "tuesday"]


def test_following_survives_truncation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("a long line of before\n")
    seen, stop, thread = _collect(path, 0)
    path.write_text("after\n")
    time.sleep(0.6)
    stop.set()
    thread.join(5)
    assert seen == ["after"]


def test_following_several_says_whose_line_it_is(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"old {name}\n")
    deadline, seen = time.monotonic() + 10, list[tuple[str, str]]()

    def stop() -> bool:
        return len(seen) == 3 or time.monotonic() > deadline

    for name, line in logs.follow({name: FileLog(tmp_path / name) for name in ("a", "b")}, 1, stop=stop):
        seen.append((name, line))
        if len(seen) == 2:
            with (tmp_path / "b").open("a") as file:
                file.write("new b\n")
    assert seen == [("a", "old a"), ("b", "old b"), ("b", "new b")]
