"""The owner's own file of supplied secrets: who may read it, what is in it, and that it is never touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.credentials.supplied import inspect, read_supplied
from infra.errors import SettingsError
from infra.redaction import redact

ENTITY = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
API_KEY = "TEST_API_KEY:9f1c27aa:0b7d3e55c1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "circle.env"
    write(path, f"CIRCLE_SANDBOX_API_KEY={API_KEY}\nexport CIRCLE_ENTITY_SECRET='{ENTITY}'\nOTHER=1\n")
    return path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def refusal(path: Path, *, production: bool = False) -> str:
    with pytest.raises(SettingsError) as caught:
        read_supplied(path, production=production)
    message = caught.value.message
    assert str(path) in message
    assert ENTITY not in message
    assert API_KEY not in message
    return message


def test_both_values_and_nothing_else(path: Path) -> None:
    before = path.stat()
    assert read_supplied(path, production=True) == {"CIRCLE_SANDBOX_API_KEY": API_KEY, "CIRCLE_ENTITY_SECRET": ENTITY}
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_what_it_lacks_is_empty_in_development(path: Path) -> None:
    write(path, f"CIRCLE_SANDBOX_API_KEY={API_KEY}\nCIRCLE_ENTITY_SECRET=\n")
    assert read_supplied(path)["CIRCLE_ENTITY_SECRET"] == ""
    write(path, "")
    assert read_supplied(path) == {"CIRCLE_SANDBOX_API_KEY": "", "CIRCLE_ENTITY_SECRET": ""}


def test_a_secret_is_never_interpolated(path: Path) -> None:
    write(path, "CIRCLE_SANDBOX_API_KEY=a${HOME}b\n")
    assert read_supplied(path)["CIRCLE_SANDBOX_API_KEY"] == "a${HOME}b"


def test_stricter_modes_are_fine(path: Path) -> None:
    path.chmod(0o400)
    assert read_supplied(path)["CIRCLE_ENTITY_SECRET"] == ENTITY


def test_inspection_alone_reads_nothing(path: Path) -> None:
    write(path, "CIRCLE_ENTITY_SECRET=wrong")
    path.chmod(0o200)
    inspect(path)
    with pytest.raises(SettingsError, match="No such file"):
        inspect(path.with_name("none"))
    with pytest.raises(SettingsError, match="is not a file"):
        inspect(path.parent)


def test_values_are_masked_from_then_on(path: Path) -> None:
    read_supplied(path)
    assert redact(f"key {API_KEY}, entity {ENTITY}") == "key [secret], entity [secret]"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o666, 0o601])
def test_others_may_not_read_it(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"has mode {mode:04o}"):
        inspect(path)
    assert f"has mode {mode:04o}" in refusal(path)
    assert "chmod 600" in refusal(path)


def test_a_link_to_a_safe_file_is_fine_and_to_an_unsafe_one_is_not(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    assert read_supplied(link)["CIRCLE_ENTITY_SECRET"] == ENTITY
    path.chmod(0o644)
    assert "has mode 0644" in refusal(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_elses_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(path, 65534, 65534)
    assert "belongs to user 65534" in refusal(path)


def test_absent(tmp_path: Path) -> None:
    message = refusal(tmp_path / "none")
    assert "No such file" in message
    assert "circlepay:application.suppliedSecretsFile" in message


def test_a_folder_and_a_pipe(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is not a file" in refusal(tmp_path / "pipe")


def test_too_large(path: Path) -> None:
    write(path, "#" * 70_000)
    assert "is larger than" in refusal(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CIRCLE_ENTITY_SECRET=abc", "CIRCLE_ENTITY_SECRET must be 32 bytes written as 64 hexadecimal digits"),
        (f"CIRCLE_ENTITY_SECRET={ENTITY}00", "CIRCLE_ENTITY_SECRET must be 32 bytes"),
        ("CIRCLE_ENTITY_SECRET=your_32_byte_entity_secret", "CIRCLE_ENTITY_SECRET is the document's example value"),
        (
            "CIRCLE_SANDBOX_API_KEY=your_circle_sandbox_api_key",
            "CIRCLE_SANDBOX_API_KEY is the document's example value",
        ),
        (
            "CIRCLE_SANDBOX_API_KEY='two words'",
            "CIRCLE_SANDBOX_API_KEY must be printable ASCII characters without spaces",
        ),
        ("CIRCLE_SANDBOX_API_KEY=schlüssel", "CIRCLE_SANDBOX_API_KEY must be printable ASCII"),
        ("A=1\nCIRCLE_SANDBOX_API_KEY='open", "line 2 is not KEY=value"),
    ],
)
def test_wrong_values(path: Path, text: str, said: str) -> None:
    write(path, text)
    assert said in refusal(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"CIRCLE_ENTITY_SECRET={ENTITY}", "CIRCLE_SANDBOX_API_KEY is missing, which production refuses"),
        (f"CIRCLE_SANDBOX_API_KEY={API_KEY}\nCIRCLE_ENTITY_SECRET=", "CIRCLE_ENTITY_SECRET is missing"),
        (
            f"CIRCLE_SANDBOX_API_KEY={API_KEY}\nCIRCLE_ENTITY_SECRET={'0123456789abcdef' * 4}",
            "CIRCLE_ENTITY_SECRET is too weak for production: it repeats itself",
        ),
    ],
)
def test_production_is_strict(path: Path, text: str, said: str) -> None:
    write(path, text)
    read_supplied(path)
    assert said in refusal(path, production=True)
