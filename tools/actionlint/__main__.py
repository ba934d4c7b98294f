"""`python -m tools.actionlint FILE...`: becomes actionlint, built first where it is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tools import go
from tools.running import ToolError, say

PROGRAM = go.Program(
    Path(__file__).resolve().parent, "github.com/rhysd/actionlint/cmd/actionlint", "about half a minute"
)


def main(arguments: list[str]) -> int:
    """Become actionlint; the exit code is for when there is none to become."""
    try:
        folder = go.build("actionlint", [PROGRAM], announcement="building actionlint from source, this once")
        program = str(folder / PROGRAM.name)
        os.execv(program, [program, *arguments])  # noqa: S606  (becoming it is what this is for)
    except ToolError as error:
        say(str(error))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
