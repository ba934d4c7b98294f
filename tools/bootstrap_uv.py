"""uv from the lock file: for machines with Python and neither uv, pip nor venv. Standard library only.

uv is a locked dependency of this project, so uv.lock names its wheel for every platform and that wheel's sha256.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from tools.running import ToolError

TIMEOUT_SECONDS = 60.0
MACHINE_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}


class Wheel(NamedTuple):
    """A locked wheel: its address and the sha256 (hex) of its bytes."""

    url: str
    sha256: str


def install(lock_file: Path, target: Path) -> None:
    """Put the locked uv at `target`, atomically.

    Raises ToolError when the lock file has none for this machine, or what was downloaded is not it.
    """
    wheel = locked_wheel(lock_file, *this_machine())
    program = program_in(download(wheel), wheel)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".uv-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(program)
        Path(temporary).chmod(0o755)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def this_machine() -> tuple[str, str, str]:
    """Operating system, processor and C library as wheels name them: ("linux", "x86_64", "glibc")."""
    system = sys.platform
    machine = platform.machine().lower()
    if system == "linux":
        # musl's Python is linked against no glibc, so libc_ver() finds none.
        return system, MACHINE_NAMES.get(machine, machine), "glibc" if platform.libc_ver()[0] == "glibc" else "musl"
    return system, machine, ""


def locked_wheel(lock_file: Path, system: str, machine: str, library: str) -> Wheel:
    """The wheel of uv in the lock file that runs on this machine."""
    wheels = _locked_package(lock_file).get("wheels", [])
    wanted = {("linux", "glibc"): "manylinux", ("linux", "musl"): "musllinux", ("darwin", ""): "macosx"}
    platform_name = wanted.get((system, library), system)
    for wheel in wheels:
        tags = wheel["url"].rsplit("/", 1)[-1].removesuffix(".whl").split("-")[-1].split(".")
        if any(tag.startswith(platform_name) and tag.endswith(machine) for tag in tags):
            return Wheel(wheel["url"], wheel["hash"].removeprefix("sha256:"))
    raise ToolError(
        f"no uv for {system} {machine} {library} in {lock_file.name}\n"
        "  -> install uv by hand and put it on PATH: pip install uv, or pipx install uv"
    )


def locked_version(lock_file: Path) -> str:
    """The version of uv in the lock file."""
    return str(_locked_package(lock_file)["version"])


def _locked_package(lock_file: Path) -> dict[str, Any]:
    with lock_file.open("rb") as file:
        packages: list[dict[str, Any]] = tomllib.load(file)["package"]
    return next(package for package in packages if package["name"] == "uv")


def download(wheel: Wheel) -> bytes:
    """The wheel's bytes, checked against the lock file."""
    if not wheel.url.startswith("https://"):
        raise ToolError(f"uv.lock names uv by an address that is not https: {wheel.url}")
    try:
        with urllib.request.urlopen(wheel.url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  (https, checked above)
            content: bytes = response.read()
    except (urllib.error.URLError, OSError) as error:
        raise ToolError(
            f"uv cannot be downloaded from {wheel.url}: {error}\n"
            "  -> Debian, Ubuntu: apt-get install python3-venv (then it comes through pip); macOS: brew install uv"
        ) from error
    if hashlib.sha256(content).hexdigest() != wheel.sha256:
        raise ToolError(f"the download from {wheel.url} is not the file in uv.lock: its sha256 differs")
    return content


def program_in(content: bytes, wheel: Wheel) -> bytes:
    """The uv executable inside the wheel."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if name.endswith(".data/scripts/uv"):
                return archive.read(name)
    raise ToolError(f"no uv in {wheel.url}")
