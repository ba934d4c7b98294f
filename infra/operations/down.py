"""Takes a stack down: stops its servers and keeps the data, or deletes it with the secrets generated for it.

Data is protected in the state. While a deletion is in progress it is not, so until that deletion has ended, or an `up` has
protected the data again, keeping it is refused: Pulumi would delete it too.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra import files
from infra.operations import adopt, pulumi_process, recovery, state_file
from infra.operations import stack as stacks
from infra.operations.words import words
from infra.paths import PROJECT_ROOT
from tools.running import ToolError, say

KEEP, DELETE = "keep", "delete"


def deletion_mark(stack: str, project_root: Path) -> Path:
    """Exists while data is being deleted, and names the stack's container engines, one URL a line."""
    return project_root / ".circlepay" / f"deleting-{stack}"


def run(stack: str, *, data: str = KEEP, confirm: str = "", project_root: Path = PROJECT_ROOT) -> int:
    """The exit code; what Pulumi failed at has been printed.

    data: `keep` or `delete`. confirm: `delete` answers in advance what is asked on a terminal.

    Raises CirclePayError or ToolError where it is refused, with nothing done, or cannot go on.
    """
    if data not in {KEEP, DELETE}:
        raise ToolError(f"DATA={data} is neither keep nor delete; nothing was done")
    if not stacks.exists(stack, project_root=project_root):
        say(words("there is no stack {stack}: nothing to take down", stack=stack))
        return 0
    recovery.recover(stack, project_root=project_root)
    if data == DELETE:
        return _delete_data(stack, confirm, project_root)
    return _keep_data(stack, project_root)


def _keep_data(stack: str, project_root: Path) -> int:
    suffix = "" if stack == "local" else f" STACK={stack}"
    if deletion_mark(stack, project_root).exists():
        raise ToolError(
            f"DATA=delete of {stack} was interrupted, and what is left of the data is unprotected; nothing was done\n"
            f"  -> finish it: make down DATA=delete{suffix}; or keep what is left: make up{suffix} first"
        )
    latest = stacks.deployment(stack, project_root=project_root)
    adopt.refuse_another_clones(f"take down {stack}", latest, project_root)
    _clear("unfinished", stack, state_file.engines(latest))
    code = pulumi_process.run(stack, "destroy", "--exclude-protected", project_root=project_root)
    if code == 0:
        places = in_words(state_file.data_places(stacks.deployment(stack, project_root=project_root)))
        kept = places or words("no data, since there was none")
        print("circlepay:", words("the servers of stack {stack} are stopped; kept: {places}", stack=stack, places=kept))
        print("  ->", words("`make up{suffix}` continues from there", suffix=suffix))
        if state_file.engines(latest):
            pruned = "until then `docker volume prune --all` deletes it, and before Docker 23 `docker system prune --volumes`"
            print("  ->", words(pruned))
    return code


def _delete_data(stack: str, confirm: str, project_root: Path) -> int:
    latest = stacks.deployment(stack, project_root=project_root)
    adopt.refuse_another_clones(f"delete the data of {stack}", latest, project_root)
    places = in_words(state_file.data_places(latest))
    _confirm(confirm, places or words("what is left of stack {stack}", stack=stack))
    mark = deletion_mark(stack, project_root)
    engines = _engines_used(latest, mark)
    mark.write_text("".join(f"{engine}\n" for engine in engines))
    _clear("unfinished", stack, engines)
    stacks.run_pulumi(["state", "unprotect", "--all", "--yes", "--stack", stack], stack, project_root)
    code = pulumi_process.run(stack, "destroy", project_root=project_root)
    if code == 0:
        _clear("stack", stack, engines)
        mark.unlink(missing_ok=True)
        deleted = places or words("no data, since there was none")
        print("circlepay:", words("stack {stack} is down; deleted: {places}", stack=stack, places=deleted))
    return code


def _engines_used(latest: Mapping[str, Any], mark: Path) -> list[str]:
    """The container engines the stack has something on. An interrupted deletion may have removed them from the state."""
    remembered = files.read_text(mark).split() if mark.exists() else []
    return list(dict.fromkeys([*state_file.engines(latest), *remembered]))


def _clear(what: str, stack: str, engines: Sequence[str]) -> None:
    """Remove what killed runs left on those engines and no state knows: Pulumi could delete neither it nor what it uses."""
    if engines:
        from infra.operations import leftovers  # late: a stack of processes has no engine

        leftovers.remove(what, stack, engines)


def _confirm(confirm: str, places: str) -> None:
    """Raises ToolError unless the word `delete` was given, is typed now, or there is no terminal to ask on."""
    if confirm == DELETE or (not confirm and not sys.stdin.isatty()):
        return
    if confirm:
        raise ToolError(f"CONFIRM={confirm} is not the word delete; nothing was deleted")
    question = words("This permanently deletes: {places}\nType delete to continue: ", places=places)
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != DELETE:
        raise ToolError(words("nothing was deleted"))


def in_words(found: list[str]) -> str:
    """`A, B and C`."""
    *most, last = found or [""]
    return f"{', '.join(most)}{words(' and ')}{last}" if most else last
