"""Makes the servers of a clone that was moved its own again."""

from __future__ import annotations

from pathlib import Path

from infra.errors import CirclePayError
from infra.operations import stack as stacks
from infra.operations import state_file
from infra.paths import PROJECT_ROOT
from infra.targets import clones


def run(stack: str, *, project_root: Path = PROJECT_ROOT) -> str:
    """Where the clone was, empty when the servers are its own already.

    Raises StackError for a stack without servers, and TargetError while the clone that made them is still there.
    """
    found = state_file.locations(stacks.deployment(stack, project_root=project_root))
    if not found:
        raise stacks.StackError("adopt servers", stack, "this stack has no servers", stacks.up_hint(stack))
    others = [each for each in found if each.clone != clones.clone_id(project_root)]
    if not others:
        return ""
    if len({each.clone for each in others}) > 1:
        raise CirclePayError("adopt servers", stack, "its servers were made by different clones", "move them apart")
    clones.adopt(others[0].clone, others[0].project_root, project_root)
    return others[0].project_root


def refuse_another_clones(operation: str, latest: state_file.Deployment, project_root: Path) -> None:
    """Raises TargetError where a stack's servers were made by another clone, of which this is a copy."""
    for each in state_file.locations(latest):
        clones.refuse_another(operation, each.clone, each.project_root, project_root)
