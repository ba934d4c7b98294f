"""Where things are: the clone, what it keeps to itself, what clones of one user share."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
VIRTUAL_ENVIRONMENT = ROOT / ".venv"
PROGRAMS = ROOT / "tools" / "bin"
"""What this project itself puts on PATH."""
CLONE_STATE = ROOT / ".circlepay"
"""State backend, passphrase and stamps of this clone; mode 0700."""

CACHED = frozenset({"actionlint", "build.lock", "docker-plugin", "go", "pulumi-home", "test-images", "toolchain", "uv"})
"""All that this project keeps in the cache; whatever else is there is not its own."""


def cache() -> Path:
    """The folder all clones of this user share: toolchain and downloads, all of which can be made again.

    `${XDG_CACHE_HOME:-~/.cache}/circlepay`; the XDG specification says to ignore a relative XDG_CACHE_HOME.
    """
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = chosen if chosen.is_absolute() else Path.home() / ".cache"
    return base / "circlepay"


def make_private(folder: Path) -> Path:
    """The folder, made with mode 0700 where it is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def backend_url(folder: Path) -> str:
    """The URL of a folder that Pulumi keeps its state in; `%`, `#` and `?` have a meaning in one."""
    return f"file://{quote(str(folder))}"
