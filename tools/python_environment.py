"""The project's Python packages: `.venv` as uv.lock says, made by uv, wherever uv comes from."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tools import bootstrap_uv
from tools.paths import CLONE_STATE, PROGRAMS, ROOT, VIRTUAL_ENVIRONMENT, cache, make_private
from tools.running import alone, run_with_progress, say

STAMP = VIRTUAL_ENVIRONMENT / ".circlepay-stamp"
UNFINISHED = CLONE_STATE / "installing-packages"
"""Exists while packages are being installed: found at the start, it says that the last time was interrupted."""


def prepare() -> None:
    """Bring .venv up to the lock file; nothing is run when it is already there.

    Raises ToolError when uv cannot be had, or cannot install.
    """
    if _is_current():
        return
    make_private(CLONE_STATE)
    with alone(CLONE_STATE / "packages.lock", waiting_for="installing the Python packages of this clone"):
        if _is_current():
            return
        _discard_unfinished()
        uv = find_uv()
        say("installing the locked Python packages (about half a minute the first time)")
        UNFINISHED.touch()
        _synchronize(uv)
        STAMP.write_text(_wanted())
        UNFINISHED.unlink()


def install_group(group: str, folder: Path) -> None:
    """A dependency group of the lock file in an environment of its own at `folder`."""
    make_private(folder.parent)
    uv = find_uv()
    argv = [uv, "sync", "--locked", "--quiet", "--only-group", group, "--no-install-project"]
    run_with_progress(
        [*argv, "--python", base_python()],
        what=f"installing {group}",
        log=folder.parent / f"{group}.log",
        cwd=ROOT,
        environment=_for_uv(uv, dict(os.environ)) | {"UV_PROJECT_ENVIRONMENT": str(folder)},
    )


UNWANTED = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONDONTWRITEBYTECODE")
"""These point Python elsewhere; with the last one every `up` compiles what it imports, four times over."""
PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")
NO_PROXY = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def environment() -> dict[str, str]:
    """Variables for a program of this environment, without those that would slow it down or lead it elsewhere."""
    variables = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    variables["VIRTUAL_ENV"] = str(VIRTUAL_ENVIRONMENT)
    variables["UV_PROJECT_ENVIRONMENT"] = str(VIRTUAL_ENVIRONMENT)
    own = [str(VIRTUAL_ENVIRONMENT / "bin"), str(PROGRAMS)]
    others = [part for part in variables.get("PATH", os.defpath).split(os.pathsep) if part not in own]
    variables["PATH"] = os.pathsep.join([*own, *others])
    return variables | _without_proxy_on_loopback(variables)


def _without_proxy_on_loopback(variables: Mapping[str, str]) -> dict[str, str]:
    """Where there is a proxy: gRPC asks it for Pulumi's own addresses on loopback too, unless told otherwise."""
    if not any(name.lower() in PROXIES for name in variables):
        return {}
    kept = dict.fromkeys(part for name in NO_PROXY for part in variables.get(name, "").split(",") if part)
    return dict.fromkeys(NO_PROXY, ",".join(dict.fromkeys([*kept, *LOOPBACK])))


def find_uv() -> str:
    """uv: on PATH, else one this clone made earlier, else one made now."""
    own = CLONE_STATE / "uv"
    for candidate in (shutil.which("uv"), str(VIRTUAL_ENVIRONMENT / "bin" / "uv"), str(own / "bin" / "uv")):
        if candidate and _answers([candidate, "--version"]):
            return candidate
    make_private(CLONE_STATE)
    if _installed_by_pip(own):
        return str(own / "bin" / "uv")
    say("pip could not install it: downloading uv from the address in uv.lock")
    bootstrap_uv.install(ROOT / "uv.lock", own / "bin" / "uv")
    return str(own / "bin" / "uv")


def base_python() -> str:
    """The interpreter under any virtual environment: .venv cannot be rebuilt on itself."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _wanted() -> str:
    # The root is part of it because scripts in .venv name their interpreter by full path: a moved clone needs others.
    digest = hashlib.sha256(str(ROOT).encode())
    for name in ("uv.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _is_current() -> bool:
    if UNFINISHED.exists() or not os.access(VIRTUAL_ENVIRONMENT / "bin" / "python", os.X_OK):
        return False
    try:
        return STAMP.read_text() == _wanted()
    except OSError:
        return False


def _discard_unfinished() -> None:
    """A half-installed package may carry its metadata already, and uv would believe it."""
    if UNFINISHED.exists() and VIRTUAL_ENVIRONMENT.exists():
        say("the last installation of packages did not finish: starting it over")
        shutil.rmtree(VIRTUAL_ENVIRONMENT)


def _synchronize(uv: str) -> None:
    argv = [uv, "sync", "--locked", "--quiet"]
    if not VIRTUAL_ENVIRONMENT.exists():
        argv += ["--python", base_python()]
    run_with_progress(
        argv,
        what="installing Python packages",
        log=CLONE_STATE / "packages.log",
        cwd=ROOT,
        environment=_for_uv(uv, environment()),
    )


def _for_uv(uv: str, variables: dict[str, str]) -> dict[str, str]:
    defaults = {}
    if _machine_has_certificates():
        # uv brings certificates of its own; the machine's are the ones its administrator trusts.
        defaults["UV_SYSTEM_CERTS"] = "true"
    if Path(uv).is_relative_to(ROOT):
        # A user without uv has no cache of it either, and a purge must leave none.
        defaults["UV_CACHE_DIR"] = str(cache() / "uv")
    return defaults | variables


def _machine_has_certificates() -> bool:
    stored = ssl.get_default_verify_paths()
    in_folder = stored.capath is not None and any(Path(stored.capath).iterdir())
    return sys.platform == "darwin" or stored.cafile is not None or in_folder


def _installed_by_pip(folder: Path) -> bool:
    """uv from pip, in an environment of its own; False where Debian's Python comes without venv and pip."""
    if not _answers([base_python(), "-c", "import ensurepip, venv"]):
        return False
    say("uv is not on PATH: installing it for this clone alone")
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    return _answers([base_python(), "-m", "venv", str(folder)]) and _answers(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv=={_locked_uv()}"]
    )


def _locked_uv() -> str:
    return bootstrap_uv.locked_version(ROOT / "uv.lock")


def _answers(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False
