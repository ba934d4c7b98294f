"""Pulumi programs to measure against, each in a scratch folder with a state of its own, run the way a stack of ours is."""

from __future__ import annotations

import secrets
import shutil
import sys
from pathlib import Path

from tests.support.clones import PROJECT_ROOT, Clone

BENCH = Path(__file__).resolve().parent
SECONDS = 60.0


def program(name: str, folder: Path) -> Clone:
    """The program of this folder called `name` (`empty`, `do_nothing`), copied below `folder`, with a stack that is empty."""
    root = folder / f"{name}-{secrets.token_hex(3)}"
    shutil.copytree(BENCH / name, root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".venv").symlink_to(Path(sys.prefix) if sys.prefix != sys.base_prefix else PROJECT_ROOT / ".venv")
    own = root / ".circlepay"
    (own / "state").mkdir(parents=True)
    (own / "passphrase").write_text(secrets.token_urlsafe(32))
    (own / "passphrase").chmod(0o600)
    clone = Clone(root)
    clone.pulumi("stack", "init", clone.stack).expect()
    return clone


def bring_up(clone: Clone, **environment: str) -> None:
    """`pulumi up` with the flags that a stack of ours gets; it must succeed."""
    clone.up(environment=environment, seconds=SECONDS).expect()
