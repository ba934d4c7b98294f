"""Whether existing data and the programs that shall run it are of the same major version."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from infra.errors import TargetError
from infra.targets import rendering
from infra.targets.placement import Placement
from infra.targets.spec import ServerSpec

_TIMEOUT = 30.0


def check(placement: Placement, spec: ServerSpec, programs: Path) -> None:
    """Raises TargetError when the data was made by another version, or the folder holds something else than data."""
    data = placement.sub("data")
    if not spec.data_format.file or not data.is_dir() or not any(data.iterdir()):
        return
    operation = f"start {spec.name}"
    try:
        made_by = (data / spec.data_format.file).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise TargetError(
            operation,
            str(data),
            f"there are files in it, but no {spec.data_format.file}: this is no data of {spec.name}",
            "put back what is missing from a backup, or move the folder away to begin with empty data",
        ) from None
    version = program_version(placement, spec, programs)
    if made_by != version:
        raise TargetError(
            operation,
            str(data),
            f"the data in it was made by version {made_by}, the programs in {programs} are version {version}",
            f"set the server's `binaries` in circlepay:processes to programs of version {made_by}; "
            "to change the version, dump the data with the old programs and load it with the new ones",
        )


def program_version(placement: Placement, spec: ServerSpec, programs: Path) -> str:
    """The part of the programs' version that data depends on. Raises TargetError when they do not tell it."""
    command = rendering.command(spec.data_format.version_command, spec, placement, programs)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT, env={"LC_ALL": "C"})
    found = re.search(spec.data_format.version_pattern, done.stdout)
    if found is None:
        text = done.stderr.strip() or done.stdout.strip()
        raise TargetError(f"ask {spec.name} for its version", command[0], f"no version in its answer: {text}")
    return found[1]
