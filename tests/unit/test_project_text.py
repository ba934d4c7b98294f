"""What no file of the project says: places of one machine, hosts that packages come from, names of other things."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOCKED = {"uv.lock", "go.sum"}
"""Written by tools, and full of addresses by nature."""

# One letter of each in brackets: this file must not hold what it looks for.
MACHINE_PATHS = r"(?<![\w.>)}/-])/(?:[w]ork|[t]mp|[r]oot)/[\w.]"
REGISTRY_HOSTS = r"[p]ypi\.org|[p]ythonhosted\.org|[p]roxy\.golang\.org|[r]egistry\.npmjs"
STRANGERS = r"[f]arm-(studio|bench)|\.[l]ibrary/|(?<![\w/-])[s]hared/|\b[t]he issue\b|\bissue #?\d"
FORBIDDEN = {"machine paths": MACHINE_PATHS, "registry hosts": REGISTRY_HOSTS, "strangers": STRANGERS}


def project_files() -> list[Path]:
    """Every file git keeps or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("needs a git checkout to know which files are the project's")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.name not in LOCKED]


def found_in(text: str, pattern: str) -> list[str]:
    """What the text holds and must not."""
    return [match[0] for match in re.finditer(pattern, text)]


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_file_names_what_is_not_the_projects(kind: str) -> None:
    found = []
    for path in project_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {what}" for what in found_in(text, FORBIDDEN[kind])]
    assert found == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("machine paths", "see " + "/tm" + "p/file"),
        ("registry hosts", "https://py" + "pi.org/simple"),
        ("strangers", "as the " + "issue says"),
    ],
)
def test_it_would_be_noticed(kind: str, text: str) -> None:
    assert found_in(text, FORBIDDEN[kind])
