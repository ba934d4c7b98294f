"""Where Pulumi keeps its state and what encrypts it, where the user has not set that."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools.paths import CLONE_STATE, ROOT, backend_url, cache, make_private
from tools.running import ToolError

STATE = CLONE_STATE / "state"
PASSPHRASE = CLONE_STATE / "passphrase"


def variables(environment: Mapping[str, str], stack: str, *, own_build: bool) -> dict[str, str]:
    """What to add to the environment. Whatever the user has set stays as it is.

    own_build: Pulumi is this project's own build; it cannot update itself and downloads nothing.

    Raises ToolError when the stack was encrypted with a passphrase that is not here.
    """
    added = {"STACK": stack, "GRPC_ENABLE_FORK_SUPPORT": "0"}
    if _needs_backend(environment, stack):
        make_private(CLONE_STATE)
        make_private(STATE)
        added["PULUMI_BACKEND_URL"] = backend_url(STATE)
    if "PULUMI_CONFIG_PASSPHRASE" not in environment and "PULUMI_CONFIG_PASSPHRASE_FILE" not in environment:
        added["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase(stack))
    if own_build:
        added |= {
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": environment.get("PULUMI_HOME") or str(make_private(cache() / "pulumi-home")),
        }
    return added


def _needs_backend(environment: Mapping[str, str], stack: str) -> bool:
    if environment.get("PULUMI_BACKEND_URL"):
        return False
    return stack == "local" or not (environment.get("PULUMI_ACCESS_TOKEN") or _logged_in(environment))


def selected(environment: Mapping[str, str]) -> str:
    """The stack that `pulumi stack select` has chosen here for a bare pulumi, empty without one.

    Pulumi keeps it by backend in a file that is named after the project and the digest of its path.
    """
    project = ROOT / "Pulumi.yaml"
    name = f"circlepay-{hashlib.sha1(str(project).encode(), usedforsecurity=False).hexdigest()}-workspace.json"
    try:
        found = json.loads((home(environment) / "workspaces" / name).read_text())
        chosen = (found.get("stacks") or {}).get(environment.get("PULUMI_BACKEND_URL")) or found.get("stack") or ""
    except (OSError, ValueError, AttributeError):
        return ""
    return str(chosen).rpartition("/")[2]


def home(environment: Mapping[str, str]) -> Path:
    """Where Pulumi keeps its plugins and logins."""
    return Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")


def _logged_in(environment: Mapping[str, str]) -> bool:
    """Whether `pulumi login` has chosen a backend; Pulumi keeps that in credentials.json under `current`."""
    try:
        return bool(json.loads((home(environment) / "credentials.json").read_text()).get("current"))
    except (OSError, ValueError):
        return False


def passphrase_of(stack: str) -> Path:
    """A stack's own passphrase, for one whose passphrase was changed while others kept theirs."""
    return PASSPHRASE.with_name(f"{PASSPHRASE.name}-{stack}")


def _passphrase(stack: str) -> Path:
    for path in (passphrase_of(stack), PASSPHRASE):
        if path.exists():
            return path
    if _is_encrypted(stack):
        raise ToolError(
            f"Pulumi.{stack}.yaml was encrypted with a passphrase, and {PASSPHRASE.relative_to(ROOT)} is missing, and "
            f"{passphrase_of(stack).name} beside it as well\n"
            "  -> put that passphrase there (mode 0600), or name it in PULUMI_CONFIG_PASSPHRASE_FILE"
        )
    _write_once(PASSPHRASE, secrets.token_urlsafe(32) + "\n")
    return PASSPHRASE


def _is_encrypted(stack: str) -> bool:
    try:
        return "\nencryptionsalt:" in "\n" + (ROOT / f"Pulumi.{stack}.yaml").read_text()
    except OSError:
        return False


def _write_once(path: Path, text: str) -> None:
    """Make the file with mode 0600, whole or not at all; of two at once, the first one's stays."""
    make_private(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".passphrase-")  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
