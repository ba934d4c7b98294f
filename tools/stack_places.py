"""Says where a stack's data and env file are: what `make down` keeps, and what DATA=delete deletes.

python -m tools.stack_places STATE_FILE
pulumi stack export | python -m tools.stack_places -
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.stack_state import deployment

FOLDER, SECRETS = "circlepay:index:ServerFolder", "circlepay:index:GeneratedSecrets"


def places(latest: Mapping[str, Any]) -> list[str]:
    """The servers' folders and the env file of a deployment; empty for a stack without any."""
    listed = latest.get("resources") or []
    outputs = [(resource["type"], resource.get("outputs") or {}) for resource in listed]
    folders = [str(values["folder"]) for kind, values in outputs if kind == FOLDER and "folder" in values]
    files = [str(values["envFile"]) for kind, values in outputs if kind == SECRETS and values.get("envFile")]
    return [*sorted(folders), *(file for file in files if Path(file).exists())]


def in_words(found: list[str]) -> str:
    """`A, B and C`."""
    *most, last = found or [""]
    return f"{', '.join(most)} and {last}" if most else last


def main(source: str) -> int:
    """Prints them on one line."""
    latest = json.load(sys.stdin).get("deployment") or {} if source == "-" else deployment(Path(source))
    print(in_words(places(latest)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
