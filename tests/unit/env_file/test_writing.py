"""The env file on disk: the writer replaces all of it or nothing, and never what is not ours."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from infra.env_file.encoding import encode
from infra.env_file.writing import EnvFileState, digest, observe, plan, plan_publish, publish, remove
from infra.errors import PublishError
from infra.files import FILE_MODE
from tests.unit.env_file.conftest import VALUES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env.local"


TEXT = encode(VALUES, "local")
NEXT = encode({**VALUES, "SECRET_KEY": "another-secret-key-0123456789abc"}, "local")


def test_first_publication_then_nothing_to_do(path: Path) -> None:
    assert [change.reason for change in publish(path, TEXT)] == ["is missing"]
    assert path.read_text() == TEXT
    assert stat.S_IMODE(path.stat().st_mode) == FILE_MODE
    inode = path.stat().st_ino
    assert publish(path, TEXT) == []
    assert path.stat().st_ino == inode


def test_edited_chmodded_and_deleted_files_are_mended(path: Path) -> None:
    publish(path, TEXT)
    path.write_text(TEXT.replace("DEBUG=true", "DEBUG=false"))
    assert [change.reason for change in plan_publish(path, TEXT)] == ["DEBUG differs from what is declared"]
    publish(path, TEXT)
    path.chmod(0o644)
    assert [change.reason for change in plan_publish(path, TEXT)] == ["has mode 0644, declared is 0600"]
    publish(path, TEXT)
    path.unlink()
    assert [change.reason for change in plan_publish(path, TEXT)] == ["is missing"]
    publish(path, TEXT)
    assert observe(path) == EnvFileState("ours", TEXT.splitlines()[0], digest(TEXT), FILE_MODE)
    assert plan_publish(path, TEXT) == []


def test_the_plan_names_the_keys_that_differ(path: Path) -> None:
    publish(
        path, encode({**VALUES, "DEBUG": "false", "LOG_LEVEL": "ERROR", "SECRET_KEY": "$another `one` \\"}, "local")
    )
    reasons = [change.reason for change in plan_publish(path, TEXT)]
    assert reasons == ["SECRET_KEY, DEBUG and LOG_LEVEL differ from what is declared"]
    for line in ("hunter2\n", "hunter2=1\n", "# hunter2\n", "HUNTER='hunter2\n"):
        path.write_text(TEXT + line)
        assert [change.reason for change in plan_publish(path, TEXT)] == ["has other lines than declared"]
    publish(path, TEXT)
    assert path.read_text() == TEXT


def test_the_plan_names_a_key_of_the_stacks_own_that_differs_and_none_that_is_no_more(path: Path) -> None:
    publish(path, encode(VALUES, "local", {"OWN": "a", "HUNTER2": "b"}))
    assert plan_publish(path, encode(VALUES, "local", {"OWN": "a", "HUNTER2": "b"})) == []
    declared = encode(VALUES, "local", {"OWN": "b"})
    assert [change.reason for change in plan_publish(path, declared)] == ["OWN differs from what is declared"]
    assert [change.reason for change in plan_publish(path, TEXT)] == ["has other lines than declared"]


WITHOUT_ENTITY_SECRET = encode({**VALUES, "CIRCLE_ENTITY_SECRET": ""}, "local")
WITHOUT_ANY = encode({**VALUES, "CIRCLE_ENTITY_SECRET": "", "CIRCLE_SANDBOX_API_KEY": ""}, "local")


def test_a_supplied_secret_is_never_replaced_by_nothing(path: Path) -> None:
    publish(path, TEXT)
    unchanged(path, WITHOUT_ENTITY_SECRET, "holds a value of CIRCLE_ENTITY_SECRET, which")
    unchanged(path, WITHOUT_ANY, "holds a value of CIRCLE_SANDBOX_API_KEY and CIRCLE_ENTITY_SECRET, which")
    assert path.read_text() == TEXT
    with pytest.raises(PublishError) as caught:
        publish(path, WITHOUT_ANY)
    told = f"{caught.value.message} {caught.value.hint}"
    assert "supply it again" in told
    assert "delete CIRCLE_SANDBOX_API_KEY and CIRCLE_ENTITY_SECRET from the file" in told
    assert not [secret for secret in (VALUES["CIRCLE_ENTITY_SECRET"], "TEST_API_KEY") if secret in told]


@pytest.mark.parametrize(
    "there",
    [
        f"CIRCLE_ENTITY_SECRET='{'cd' * 32}'\nCIRCLE_ENTITY_SECRET=\n",
        f"export CIRCLE_ENTITY_SECRET={'cd' * 32}\n",
        f"CIRCLE_ENTITY_SECRET='{'cd' * 32}\n",
    ],
    ids=["twice", "exported", "damaged"],
)
def test_a_supplied_secret_written_by_hand_is_not_replaced_by_nothing_either(path: Path, there: str) -> None:
    publish(path, WITHOUT_ENTITY_SECRET)
    path.write_text(WITHOUT_ENTITY_SECRET + there)
    unchanged(path, WITHOUT_ENTITY_SECRET, "holds a value of CIRCLE_ENTITY_SECRET, which")


def test_the_two_ways_out_of_a_lost_secret(path: Path) -> None:
    publish(path, TEXT)
    other = encode({**VALUES, "CIRCLE_ENTITY_SECRET": "cd" * 32}, "local")
    assert [change.reason for change in publish(path, other)] == ["CIRCLE_ENTITY_SECRET differs from what is declared"]
    path.write_text("".join(line for line in other.splitlines(True) if not line.startswith("CIRCLE_ENTITY_SECRET")))
    publish(path, WITHOUT_ENTITY_SECRET)
    assert path.read_text() == WITHOUT_ENTITY_SECRET
    path.unlink()
    publish(path, WITHOUT_ANY)


def test_reasons_never_tell_values(path: Path) -> None:
    publish(path, NEXT)
    shown = str([change.as_dict() for change in plan(observe(path), TEXT)])
    assert VALUES["SECRET_KEY"] not in shown
    assert "another-secret-key" not in shown


def unchanged(path: Path, text: str, said: str) -> None:
    """Publishing fails, the plan says so beforehand, and nothing is left behind or different afterwards."""
    before = sorted(entry.name for entry in path.parent.iterdir())
    assert "cannot be written" in plan_publish(path, text)[0].reason
    with pytest.raises(PublishError, match=said) as caught:
        publish(path, text)
    assert caught.value.hint
    assert sorted(entry.name for entry in path.parent.iterdir()) == before


def test_somebody_elses_file_stays(path: Path) -> None:
    path.write_text("DATABASE_URL=mine\n")
    unchanged(path, TEXT, "exists and is not ours")
    assert path.read_text() == "DATABASE_URL=mine\n"
    assert remove(path) is False
    assert path.exists()


def test_an_empty_file_is_not_ours(path: Path) -> None:
    path.touch()
    unchanged(path, TEXT, "exists and is not ours")


def test_another_stacks_file_stays(path: Path) -> None:
    publish(path, encode(VALUES, "dev"))
    unchanged(path, TEXT, "belongs to another stack")


def test_links_are_never_followed(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    elsewhere.write_text(TEXT)
    path.symlink_to(elsewhere)
    unchanged(path, NEXT, "is a symbolic link")
    assert elsewhere.read_text() == TEXT
    assert remove(path) is False
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))
    unchanged(path, NEXT, "is a symbolic link")


def test_a_link_waiting_at_the_partial_file_is_not_followed(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("keep")
    path.with_name(".env.local.partial").symlink_to(victim)
    publish(path, TEXT)
    assert victim.read_text() == "keep"
    assert path.read_text() == TEXT


def test_folders_and_pipes_are_no_files(path: Path) -> None:
    path.mkdir()
    unchanged(path, TEXT, "is not a file")
    path.rmdir()
    os.mkfifo(path)
    unchanged(path, TEXT, "is not a file")


def test_absent_folder(path: Path) -> None:
    with pytest.raises(PublishError, match="No such file"):
        publish(path.parent / "absent" / ".env.local", TEXT)


def test_removal_takes_only_ours(path: Path) -> None:
    assert remove(path) is False
    publish(path, TEXT)
    assert remove(path) is True
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/mount").exists(), reason="mounting needs root")
def test_a_full_disk_leaves_the_previous_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount: {mounted.stderr.strip()}")
    try:
        path = disk / ".env.local"
        publish(path, TEXT)
        with pytest.raises(OSError, match="No space"):
            (disk / "filler").write_bytes(b"x" * 65536)
        with pytest.raises(PublishError, match="No space left on device"):
            publish(path, NEXT)
        assert path.read_text() == TEXT
        assert not (disk / ".env.local.partial").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


WRITER = """
import sys
from pathlib import Path
from infra.env_file.writing import publish
path, first, second = map(Path, sys.argv[1:])
texts = [first.read_text(), second.read_text()]
print("ready", flush=True)
for number in range(100000):
    publish(path, texts[number % 2])
"""


def test_killed_at_any_moment_it_is_the_old_or_the_new_file(path: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(TEXT)
    second.write_text(NEXT)
    publish(path, TEXT)
    for attempt in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, first, second],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[3],
        )
        assert writer.stdout is not None
        with writer:
            writer.stdout.readline()
            time.sleep(0.002 + attempt * 0.0037)
            writer.send_signal(signal.SIGKILL)
        assert path.read_text() in (TEXT, NEXT)
        assert stat.S_IMODE(path.stat().st_mode) == FILE_MODE
    publish(path, TEXT)
    publish(path, NEXT)
    assert path.read_text() == NEXT
    assert not path.with_name(".env.local.partial").exists()


def test_two_writers_at_once_never_mix(path: Path) -> None:
    failures: list[BaseException] = []

    def write(text: str) -> None:
        try:
            for _ in range(40):
                publish(path, text)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(text,)) for text in (TEXT, NEXT)]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            seen.add(path.read_text())
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert seen <= {TEXT, NEXT}
