"""uv from the lock file: the right wheel for a machine, and nothing but that wheel."""

from __future__ import annotations

import hashlib
import io
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tools import bootstrap_uv
from tools.paths import ROOT
from tools.running import ToolError

LOCK = ROOT / "uv.lock"


@pytest.mark.parametrize(
    ("system", "machine", "library", "expected"),
    [
        ("linux", "x86_64", "glibc", "manylinux_2_17_x86_64"),
        ("linux", "aarch64", "glibc", "manylinux_2_17_aarch64"),
        ("linux", "x86_64", "musl", "musllinux"),
        ("darwin", "arm64", "", "macosx_11_0_arm64"),
        ("darwin", "x86_64", "", "macosx_10_12_x86_64"),
    ],
)
def test_every_platform_finds_its_wheel(system: str, machine: str, library: str, expected: str) -> None:
    wheel = bootstrap_uv.locked_wheel(LOCK, system, machine, library)
    assert expected in wheel.url
    assert len(wheel.sha256) == 64


def test_a_platform_without_a_wheel_is_told_what_to_do() -> None:
    with pytest.raises(ToolError, match="no uv for linux m68k"):
        bootstrap_uv.locked_wheel(LOCK, "linux", "m68k", "glibc")


def test_this_machine_is_one_of_them() -> None:
    assert bootstrap_uv.locked_wheel(LOCK, *bootstrap_uv.this_machine())


@pytest.fixture
def wheel() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("uv-1.data/scripts/uv", b"#!/bin/sh\necho uv 1\n")
    return content.getvalue()


class _Response(io.BytesIO):
    """What a download answers: the network is the one thing here that a test must not depend on."""


def _served(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: _Response(content))


def _lock_file(folder: Path, sha256: str, scheme: str = "https") -> Path:
    names = (
        "py3-none-manylinux_2_17_x86_64.whl",
        "py3-none-manylinux_2_17_aarch64.whl",
        "py3-none-macosx_11_0_arm64.whl",
    )
    wheels = "".join(
        f'{{ url = "{scheme}://packages.example/uv-1-{name}", hash = "sha256:{sha256}" }}, ' for name in names
    )
    path = folder / "uv.lock"
    path.write_text(f'[[package]]\nname = "uv"\nversion = "1"\nwheels = [{wheels}]\n')
    return path


def test_the_program_is_put_in_place_ready_to_run(
    tmp_path: Path, wheel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _served(monkeypatch, wheel)
    target = tmp_path / "state" / "uv"
    bootstrap_uv.install(_lock_file(tmp_path, hashlib.sha256(wheel).hexdigest()), target)
    assert target.read_bytes() == b"#!/bin/sh\necho uv 1\n"
    assert target.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in target.parent.iterdir()] == ["uv"]


def test_another_file_than_the_locked_one_is_refused(
    tmp_path: Path, wheel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _served(monkeypatch, wheel + b"x")
    target = tmp_path / "uv"
    with pytest.raises(ToolError, match="sha256 differs"):
        bootstrap_uv.install(_lock_file(tmp_path, hashlib.sha256(wheel).hexdigest()), target)
    assert not target.exists()


def test_an_address_that_is_not_https_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="not https"):
        bootstrap_uv.install(_lock_file(tmp_path, "0" * 64, scheme="http"), tmp_path / "uv")


def test_the_locked_version() -> None:
    assert bootstrap_uv.locked_version(LOCK).count(".") == 2
