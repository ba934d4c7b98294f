"""What a killed run of Pulumi left behind: its lock, a state that is half-written, and operations that it had started."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.operations import dead_lock, pulumi_process, state_file
from infra.paths import PROJECT_ROOT
from tools.running import ToolError, say


def recover(stack: str, *, project_root: Path = PROJECT_ROOT) -> None:
    """Repairs it before the next run. Raises ToolError when another run is active on the stack.

    Resources here have fixed ids, so the next `up` finds what was started and continues from there; Pulumi only has
    to forget the pending operations.
    """
    held = dead_lock.clear(stack)
    if held:
        raise ToolError("\n".join(held))
    path = state_file.path_of(stack, project_root)
    if path is None:
        return
    for sentence in state_file.repair(path):
        say(sentence)
    # A state that is still torn has no backup: Pulumi's own message explains that better.
    if not state_file.is_torn(path) and state_file.pending(path):
        _forget_pending_creates(stack, project_root)


def _forget_pending_creates(stack: str, project_root: Path) -> None:
    say(f"the last run of {stack} was interrupted: reading what is there")
    options = ["--yes", "--skip-preview", "--clear-pending-creates", "--suppress-progress", "--stack", stack]
    code, output = pulumi_process.run_silently(["refresh", *options], stack, project_root)
    if code != 0:
        # The `up` or `down` that follows fails for the same reason, with a better message.
        print(output.rstrip(), file=sys.stderr, flush=True)
