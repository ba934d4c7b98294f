"""The last release's files, taken out of the repository's history, for stacks that have to outlive an upgrade."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from tests.support.archives import extract
from tests.support.clones import PROJECT_ROOT, put_project

LAST_RELEASE = "948eda9e170addbef1fda04f003ae40ceb23fdac"
"""The commit. To be moved on with each release, once that is out: to the commit that was released.

Its code runs in the environment of the code under test, which is the one of the lock file as it is here.
"""
RESOURCE_TYPES = {"processes": "circlepay:index:ServerFolder", "docker": "circlepay:index:ContainerPlace"}
"""A resource type of each target that the last release keeps data by, as its state names it; moved on likewise."""


def put_last_release(root: Path) -> None:
    """Its files, below `root`. Raises AssertionError where the repository does not have them."""
    with archive() as opened:
        extract(opened, root, "data")


def upgrade(root: Path) -> None:
    """Its files below `root` make way for those under test. As after `git pull`, everything git does not keep stays."""
    with archive() as opened:
        for entry in opened:
            if not entry.isdir():
                (root / entry.name).unlink()
    put_project(root)


def archive(repository: Path = PROJECT_ROOT) -> tarfile.TarFile:
    """Its files as git keeps them in `repository`. Raises AssertionError where that does not have them."""
    # A checkout may be another user's than the tests', as in a container of a CI service.
    argv = ["git", "-c", f"safe.directory={repository}", "archive", LAST_RELEASE]
    try:
        content = subprocess.run(argv, cwd=repository, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise AssertionError("git is not installed, and the last release's files are in the history only") from None
    except subprocess.CalledProcessError as error:
        raise AssertionError(_absent(error.stderr.decode().strip())) from None
    return tarfile.open(fileobj=io.BytesIO(content))


def _absent(said: str) -> str:
    return (
        f"the last release, commit {LAST_RELEASE}, is not in this repository: {said}\n"
        "  -> in a shallow clone: git fetch --unshallow; in CI: the checkout needs fetch-depth: 0"
    )
