"""Looks at a stack's state in a file backend before Pulumi does: mends what a killed write left torn.

Exit code 1 when the state remembers operations that were begun and never ended.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from tools.running import say


def deployment(state_file: Path) -> dict[str, Any]:
    """The latest deployment in a file backend's state, plain or compressed; empty without one."""
    compressed = state_file.with_name(state_file.name + ".gz")
    if state_file.exists():
        content = state_file.read_bytes()
    elif compressed.exists():
        content = compressed.read_bytes()
    else:
        return {}
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    return json.loads(content).get("checkpoint", {}).get("latest") or {}


def pending(state_file: Path) -> list[str]:
    """The names (URNs) of resources with an operation under way."""
    return [operation["resource"]["urn"] for operation in deployment(state_file).get("pending_operations") or []]


def resources(state_file: Path) -> list[str]:
    """The names (URNs) of the resources a stack has, the stack itself not counted."""
    listed = deployment(state_file).get("resources") or []
    return [resource["urn"] for resource in listed if resource["type"] != "pulumi:pulumi:Stack"]


def mend(state_file: Path) -> list[str]:
    """Puts right what a run killed in the middle of a write left; returns what was done, as sentences.

    Pulumi's file backend writes a file's attributes (`.attrs`) in place, and keeps the state before the last write as
    `.bak`. Torn attributes are only removed: the backend does without. A torn state is replaced by the one before it,
    which is enough, since resources here are found again by the next `up`.
    """
    done = []
    for file in (state_file, state_file.with_name(state_file.name + ".gz")):
        attributes, before = file.with_name(file.name + ".attrs"), file.with_name(file.name + ".bak")
        for torn in (attributes, before.with_name(before.name + ".attrs")):
            if _is_torn(torn):
                torn.unlink()
                done.append(f"removed {torn.name}, which a killed run had left half-written")
        if _is_torn(file) and before.exists() and not _is_torn(before):
            before.replace(file)
            done.append(f"took {before.name} for {file.name}, which a killed run had left half-written")
    return done


def _is_torn(file: Path) -> bool:
    try:
        content = file.read_bytes()
        json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except FileNotFoundError:
        return False
    except (ValueError, EOFError, gzip.BadGzipFile):
        return True
    return False


def main(state_file: Path) -> int:
    """Mends, then tells whether operations are pending."""
    for sentence in mend(state_file):
        say(sentence)
    return 1 if pending(state_file) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
