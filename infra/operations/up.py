"""Brings a stack up, or repairs drift: creates the stack where there is none, then runs `pulumi up`."""

from __future__ import annotations

from pathlib import Path

from infra.operations import adopt, engine_errors, pulumi_process, recovery, state_file
from infra.operations import stack as stacks
from infra.operations.down import deletion_mark
from infra.operations.stack import StackError
from infra.paths import PROJECT_ROOT


def run(stack: str, *, project_root: Path = PROJECT_ROOT) -> int:
    """Pulumi's exit code; what failed has been printed.

    Raises CirclePayError or ToolError when the stack cannot be created, and when another run is active on it.
    """
    create(stack, project_root=project_root)
    recovery.recover(stack, project_root=project_root)
    path = state_file.path_of(stack, project_root)
    if path is not None and not state_file.is_torn(path):  # elsewhere the provider refuses it, without another run
        adopt.refuse_another_clones(f"bring up {stack}", state_file.deployment(path), project_root)
    code = pulumi_process.run(stack, "up", project_root=project_root)
    if code == 0:
        deletion_mark(stack, project_root).unlink(missing_ok=True)
    return code


def create(stack: str, *, declared: bool = False, project_root: Path = PROJECT_ROOT) -> None:
    """Make the stack where there is none.

    declared: only one that somebody wrote settings for, or `local`; for a preview, where a mistyped name shall leave nothing.

    Raises SettingsError for one that cannot be brought up: `stack init` writes to the stack's file, and an empty stack
    would stay behind. Raises StackError when Pulumi does not create it.
    """
    if stacks.exists(stack, project_root=project_root):
        return
    if declared and stack != "local" and not (project_root / f"Pulumi.{stack}.yaml").exists():
        raise _not_declared(stack, project_root)
    from infra.settings.check import check  # late: hardly any run makes a stack

    check(stack, project_root)
    # A bare `pulumi` means the stack `local`; making another one must not change that.
    options = () if stack == "local" else ("--no-select",)
    done = stacks.ask_pulumi(["stack", "init", stack, *options], stack, project_root)
    # Of two concurrent runs the second fails here, and finds that the stack exists.
    if done.returncode != 0 and not stacks.exists(stack, project_root=project_root):
        raise _not_created(stack, (done.stdout + done.stderr).strip())


def _not_declared(stack: str, project_root: Path) -> StackError:
    declared = sorted(path.name.split(".")[1] for path in project_root.glob("Pulumi.*.yaml"))
    return StackError(
        "read stack",
        stack,
        f"there is no such stack, and no Pulumi.{stack}.yaml; nothing was made",
        f"stacks with a file: {', '.join(dict.fromkeys(['local', *declared]))}; `{stacks.up_hint(stack)}` makes a new one",
    )


def _not_created(stack: str, output: str) -> StackError:
    if engine_errors.WRONG_PASSPHRASE not in output:
        return StackError("create stack", stack, output)
    return StackError(
        f"create stack {stack}",
        f"Pulumi.{stack}.yaml",
        "its encryptionsalt belongs to another passphrase",
        f"put that passphrase into .circlepay/passphrase-{stack}, or name its file in PULUMI_CONFIG_PASSPHRASE_FILE; "
        "or remove the line for a stack of your own: docs/state-backends.md",
    )
