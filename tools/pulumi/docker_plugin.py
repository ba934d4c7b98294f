"""Pulumi's Docker plugin for stacks that run on Docker, where Pulumi does not download it by itself.

A Pulumi that the user installed does. The one built here downloads only on request, and where that
fails the plugin is built from source and put into Pulumi's plugin folder, with a file beside it that says so.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools import go
from tools.paths import ROOT, cache
from tools.running import say

VERSION = "5.2.0"
"""The version of the Python package pulumi-docker, for which Pulumi looks for the plugin of the same."""

FORCED_BY = "CIRCLEPAY_BUILD_DOCKER_PLUGIN"
"""Set to 1, this builds the plugin for any stack and any Pulumi, without trying to download it."""

PROGRAM = go.Program(
    Path(__file__).resolve().parent / "docker",
    "circlepay.local/pulumi-resource-docker",
    "about 6 minutes",
    {"main.version": VERSION},
    tags="no_compose",
)
FOLDER_NAME = f"resource-docker-v{VERSION}"
MARKER = "UNOFFICIAL.txt"
DOWNLOAD_SECONDS = 120

ON_DOCKER = re.compile(r"""^[^#\n]*circlepay:target["']?\s*:\s*["']?docker["']?\s*(?:[,}#].*)?$""", re.MULTILINE)
"""The line of a stack's file that chooses the target; there is no YAML parser before the environment is made."""


def prepare(environment: Mapping[str, str], home: Path, stack: str, *, own_build: bool) -> None:
    """Make sure that Pulumi finds the plugin, if the stack needs it; an official one is left as it is.

    home: Pulumi's home. own_build: Pulumi is this project's own build.

    Raises ToolError when the plugin has to be built and cannot be.
    """
    forced = environment.get(FORCED_BY) == "1"
    if not forced and not (own_build and runs_on_docker(stack)):
        return
    is_there = (home / "plugins" / FOLDER_NAME).exists()
    if is_there or forced or not _is_downloaded(environment):
        install(home)


def runs_on_docker(stack: str) -> bool:
    """Whether the stack's file chooses the target `docker`."""
    try:
        return ON_DOCKER.search((ROOT / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")) is not None
    except OSError:
        return False


def is_ours(folder: Path) -> bool:
    """Whether a folder among Pulumi's plugins was put there by this project."""
    return (folder / MARKER).is_file()


def install(home: Path) -> None:
    """Link the plugin into the plugin folder of a Pulumi home, built first where it is missing.

    Does nothing where an official one is, or this very one. Raises ToolError when the build fails.
    """
    folder = home / "plugins" / FOLDER_NAME
    if folder.exists() and not is_ours(folder):
        return
    announcement = f"building Pulumi's Docker plugin {VERSION} from source, this once; about 6 minutes on two cores"
    program = go.build("docker-plugin", [PROGRAM], announcement=announcement) / PROGRAM.name
    marker = _marker(program)
    if is_ours(folder) and (folder / MARKER).read_text() == marker and (folder / PROGRAM.name).exists():
        return
    _put(folder, program, marker)
    say(f"an unofficial Docker plugin {VERSION} is in {folder} ({MARKER} there describes it)")


def installed(home: Path) -> Path | None:
    """This project's own plugin in a Pulumi home, if there is one that leads into this user's cache."""
    folder = home / "plugins" / FOLDER_NAME
    program = folder / PROGRAM.name
    own = is_ours(folder) and program.is_symlink() and program.readlink().is_relative_to(cache())
    return folder if own else None


def _is_downloaded(environment: Mapping[str, str]) -> bool:
    say(f"asking Pulumi to download its Docker plugin {VERSION}")
    pulumi = shutil.which("pulumi", path=environment["PATH"])
    argv = [str(pulumi), "plugin", "install", "resource", "docker", VERSION]
    try:
        result = subprocess.run(argv, env=dict(environment), capture_output=True, check=False, timeout=DOWNLOAD_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    if result.returncode != 0:
        say("it cannot be downloaded from here")
    return result.returncode == 0


def _put(folder: Path, program: Path, marker: str) -> None:
    """The folder with a link to the program, whole or not at all; one of ours that is there makes room."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".circlepay-", dir=folder.parent))
    try:
        (staging / MARKER).write_text(marker)
        (staging / program.name).symlink_to(program)
        staging.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _marker(program: Path) -> str:
    pins = (PROGRAM.module / "go.mod").read_text()
    sources = re.findall(r"(\S+/(?:pulumi-terraform-bridge/v3|kreuzwerker/terraform-provider-docker) v\S+)", pins)
    return "\n".join(
        [
            f"This Docker plugin {VERSION} is unofficial: CirclePay's infrastructure built it on this machine, because",
            "Pulumi's own could not be downloaded, or because it was asked to. It was made by Go from",
            *(f"  {source}" for source in sorted(set(sources))),
            f"as tools/pulumi/docker/ of that project says, and is kept in {program.parent.parent}.",
            "It has what the official one has except docker.Image and the official corrections to the registry's client.",
            "To have the official one, remove this folder; Pulumi downloads it when it is needed next.",
            "",
        ]
    )
