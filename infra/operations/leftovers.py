"""What killed runs left where servers run and no state knows of. Targets find their own by their marks.

    python -m infra.operations.leftovers unfinished STACK ENGINE...   what would block a `down` of the stack
    python -m infra.operations.leftovers stack STACK ENGINE...        all that a stack has
    python -m infra.operations.leftovers clone [ENGINE...]            all that this clone has, there and on the usual engine
    python -m infra.operations.leftovers list [ENGINE...]             only names that

No other run may be active on the stack meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from infra.errors import CirclePayError
from infra.targets import target
from tools.running import say


def run(what: str, stack: str, engines: Sequence[str]) -> Iterator[str]:
    """What it removed, or found. Raises CirclePayError for an engine that does not answer; a list goes on without it."""
    for name in target.names():
        yield from target.load(name).leftovers(what, stack, engines)


def remove(what: str, stack: str, engines: Sequence[str]) -> None:
    """The same, saying what was removed."""
    for line in run(what, stack, engines):
        say(f"removed {line}")


def main(arguments: list[str]) -> int:
    """Prints what was found, or says what was removed."""
    what, *rest = arguments
    stack, engines = ("", rest) if what in {"clone", "list"} else (rest[0], rest[1:])
    try:
        if what != "list":
            remove(what, stack, engines)
            return 0
        for line in run(what, stack, engines):
            print(line)
    except CirclePayError as error:
        say(error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
