"""Which `pulumi` is used: the user's own where it is new enough, else the one built here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.paths import CLONE_STATE, cache
from tools.pulumi import build
from tools.running import say

MINIMUM = (3, 190, 0)
"""The oldest Pulumi CLI accepted. It has what is used: `--exclude-protected`, `refresh: always`, `toolchain: uv`."""

ACCEPTED = CLONE_STATE / "pulumi-on-path.json"


def user_installed() -> Path | None:
    """The `pulumi` on PATH if it will do; says why when one is there and will not."""
    found = shutil.which("pulumi", path=_path_without_ours())
    if found is None:
        return None
    if _remembered(found):
        return Path(found)
    version = _version(found)
    if version is None or version < MINIMUM:
        reported = ".".join(map(str, version)) if version else "no version"
        say(
            f"{found} reports {reported}; {'.'.join(map(str, MINIMUM))} or later is needed, so this project builds its own"
        )
        return None
    if shutil.which("pulumi-language-python", path=f"{Path(found).parent}{os.pathsep}{_path_without_ours()}") is None:
        say(f"{found} has no pulumi-language-python beside it or on PATH, so this project builds its own")
        return None
    _remember(found)
    return Path(found)


def _path_without_ours() -> str:
    """PATH as the user has it, also where this runs inside an environment it made."""
    ours = str(cache())
    return os.pathsep.join(
        part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if not part.startswith(ours)
    )


def _version(program: str) -> tuple[int, ...] | None:
    environment = dict(os.environ) | {"PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        result = subprocess.run(
            [program, "version"], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", result.stdout.strip())
    return tuple(map(int, match.groups())) if match else None


def _fingerprint(program: str) -> list[str | int]:
    status = Path(program).stat()
    return [program, status.st_mtime_ns, status.st_size, *MINIMUM]


def _remembered(program: str) -> bool:
    # Asking a Pulumi CLI for its version takes 0.3 s, on every run's clock.
    try:
        return bool(json.loads(ACCEPTED.read_text()) == _fingerprint(program))
    except (OSError, ValueError):
        return False


def _remember(program: str) -> None:
    ACCEPTED.write_text(json.dumps(_fingerprint(program)))


def choose() -> tuple[Path, bool]:
    """The folder to put on PATH for `pulumi`, and whether it is this project's own build (made when missing)."""
    theirs = user_installed()
    if theirs is not None:
        return theirs.parent, False
    return build.install(), True
