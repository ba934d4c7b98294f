"""Removes everything this clone put on the machine: servers, data, passwords, state, environment, caches.

What clones share (toolchain, cache, system user) goes with the last clone that has data here. Every step can be run
again: a purge that was interrupted continues where it stopped.

Standard library only: it must work where the environment is broken or gone. `make purge` runs it on bare Python.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from infra import files
from infra.operations import state_file
from infra.targets.location import clone_id
from tools.paths import CLONE_STATE, ROOT, VIRTUAL_ENVIRONMENT, backend_url, cache
from tools.pulumi import docker_plugin
from tools.pulumi_settings import STATE, home
from tools.running import ToolError, say

WORD = "purge"
SYSTEM_USER = "circlepay"
SYSTEM_USER_COMMENT = "CirclePay servers"
"""The mark on the account that infra/targets/processes/system_user.py makes; one without it is not ours."""

USER_IS_BUSY = 8
"""userdel's exit code for an account with running processes."""

SUPPLIED = ("circleEntitySecret", "circleSandboxApiKey")
"""Settings whose values cannot be generated again."""

LEFTOVERS = (
    "Pulumi.local.yaml",
    ".ci-caches",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".import_linter_cache",
    ".hypothesis",
    "build",
    "dist",
    *(f"infra/{name}" for name in ("bin", "include", "lib", "lib64", "pyvenv.cfg")),
)
"""Made by running the package and its tools, all ignored by git."""


class Plan(NamedTuple):
    """What there is to remove, found by looking and without touching anything."""

    stacks: list[str]
    engines: list[str]
    on_engines: list[str]
    data: Path
    data_root: Path
    own: list[Path]
    kept: list[Path]
    shared: list[Path]
    system_user: bool
    other_clones: list[Path]


def data_root() -> Path:
    """Where servers keep their data, unless a stack's `processes.dataDirectory` says otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/circlepay")
    chosen = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".local" / "share") / "circlepay"


def look() -> Plan:
    """What a purge would remove now."""
    root = data_root()
    clones = [path for path in root.glob("*") if re.fullmatch(r"[0-9a-f]{10}", path.name)] if root.exists() else []
    others = [path for path in clones if path.name != clone_id(ROOT)]
    kept = supplied()
    state = [path for path in CLONE_STATE.glob("*") if path not in kept] if kept else [CLONE_STATE]
    own = [*state, VIRTUAL_ENVIRONMENT, *(ROOT / name for name in LEFTOVERS), *_byte_code()]
    states = [path for path in STATE.glob(".pulumi/stacks/circlepay/*.json*") if _holds(path)]
    engines = sorted({engine for path in states for engine in state_file.engines(state_file.deployment(path))})
    return Plan(
        stacks=sorted(path.name.split(".json")[0] for path in states),
        engines=engines,
        on_engines=on_engines(engines),
        data=root / clone_id(ROOT),
        data_root=root,
        own=[path for path in own if path.exists() and path not in kept],
        kept=kept,
        shared=[] if others else [path for path in (root, *_plugins(), cache()) if path.exists()],
        system_user=not others and os.geteuid() == 0 and _system_user_is_ours(),
        other_clones=others,
    )


def on_engines(engines: list[str]) -> list[str]:
    """What carries this clone's label on container engines: those named, and the usual one where it answers."""
    return _query_engines("list", engines).splitlines()


def clear_engines(engines: list[str]) -> None:
    """Remove what carries this clone's label on container engines."""
    _query_engines("clone", engines)


def _query_engines(what: str, engines: list[str]) -> str:
    """Through the environment, which has the engine's client. Without one nothing was ever made on an engine."""
    python = VIRTUAL_ENVIRONMENT / "bin" / "python"
    if not python.exists():
        return ""
    argv = [str(python), "-m", "infra.operations.leftovers", what, *engines]
    asked = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if asked.returncode != 0:
        raise ToolError("container engines could not be queried, see above\n  -> fix that, then purge again")
    return asked.stdout


def supplied() -> list[Path]:
    """Stack files with encrypted secrets of Circle's in them, and the passphrase that opens them: losing those loses funds."""
    holding = [
        path
        for path in (ROOT / name for name in LEFTOVERS if name.startswith("Pulumi."))
        if path.exists() and any(setting in files.read_text(path, follow=True) for setting in SUPPLIED)
    ]
    return [*holding, CLONE_STATE / "passphrase"] if holding else []


def _plugins() -> list[Path]:
    """What this project put into the plugin folder of the user's own Pulumi; a home in the cache goes with the cache."""
    folder = docker_plugin.installed(home(os.environ))
    return [folder] if folder and not folder.is_relative_to(cache()) else []


def _holds(path: Path) -> bool:
    return path.name.endswith((".json", ".json.gz")) and bool(state_file.resources(path))


def _byte_code() -> list[Path]:
    skipped = {VIRTUAL_ENVIRONMENT, CLONE_STATE, ROOT / ".git"}
    tops = [path for path in ROOT.iterdir() if path.is_dir() and path not in skipped]
    return [cached for top in tops for cached in top.glob("**/__pycache__")]


def _system_user_is_ours() -> bool:
    try:
        return pwd.getpwnam(SYSTEM_USER).pw_gecos.split(",")[0] == SYSTEM_USER_COMMENT
    except KeyError:
        return False


def describe(plan: Plan) -> str:
    """The plan, to be confirmed."""
    lines = [f"stack {stack}: its servers, its data, its passwords and its env file" for stack in plan.stacks]
    lines += [f"{thing}, on a container engine" for thing in plan.on_engines]
    lines += [str(path) for path in (plan.data,) if path.exists()]
    lines += [str(path) for path in plan.own if path.name != "__pycache__"]
    lines += [f"{path}  (no other clone uses it)" for path in plan.shared]
    lines += [f"the system user {SYSTEM_USER}"] if plan.system_user else []
    kept = [f"kept, because it holds secrets of Circle's that only you can delete: {path}" for path in plan.kept]
    kept += [f"kept, because other clones have data here: {cache()}, {plan.data_root}"] if plan.other_clones else []
    return "\n".join(["This permanently removes:", *(f"  {line}" for line in lines), *kept])


def is_confirmed(confirm: str) -> bool:
    """Whether the word was given in advance, or is typed now."""
    if confirm:
        return confirm == WORD
    if not sys.stdin.isatty():
        say(
            f"no terminal to ask on\n  -> confirm in advance: make purge CONFIRM={WORD}, or circlepay purge --confirm {WORD}"
        )
        return False
    try:
        return input(f"Type {WORD} to continue: ").strip() == WORD
    except EOFError:
        return False


def take_down(stack: str) -> None:
    """Stop a stack's servers and delete their data, by Pulumi."""
    say(f"taking down stack {stack}")
    environment = dict(os.environ) | {"STACK": stack, "DATA": "delete", "CONFIRM": "delete"}
    environment["PULUMI_BACKEND_URL"] = backend_url(STATE)
    environment.pop("PULUMI_STACK", None)
    argv = [str(ROOT / "tools" / "environment.sh"), "circlepay", "down"]
    if subprocess.run(argv, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise ToolError(
            f"stack {stack} could not be taken down; nothing after it was removed\n  -> fix that, then purge again"
        )


def processes_in(folder: Path) -> list[int]:
    """Processes that work in a folder or name it on their command line: servers that are no longer in Pulumi's state."""
    listed = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=False).stdout
    found = {int(line.split()[0]) for line in listed.splitlines() if f"{folder}/" in line}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.add(int(entry.name))
        except OSError:
            continue  # ended meanwhile, or of another user
    return sorted(found - {os.getpid()})


def remove_system_user() -> None:
    """Remove the account that servers ran as, unless one still runs: a stack may keep its data in any folder."""
    removed = subprocess.run(["userdel", SYSTEM_USER], capture_output=True, text=True, check=False)
    if removed.returncode == USER_IS_BUSY:
        say(f"kept the system user {SYSTEM_USER}: {removed.stderr.strip()}")
    elif removed.returncode != 0:
        raise ToolError(f"the system user {SYSTEM_USER} could not be removed: {removed.stderr.strip()}")


def remove(path: Path) -> None:
    """Remove a file or a folder; gone already is fine. Raises ToolError naming what could not be removed."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ToolError(
            f"{path} cannot be removed: {error.strerror}: {error.filename}\n  -> fix that, then purge again"
        ) from error


def carry_out(plan: Plan) -> None:
    """Remove what the plan names, what holds data first and what this runs on last."""
    for stack in plan.stacks:
        take_down(stack)
    clear_engines(plan.engines)
    if plan.data.exists():
        alive = processes_in(plan.data)
        if alive:
            raise ToolError(
                f"processes still run in {plan.data}: {', '.join(map(str, alive))}\n"
                f"  -> stop them (kill {' '.join(map(str, alive))}), then purge again"
            )
        remove(plan.data)
    for path in plan.shared:
        remove(path)
    if plan.system_user:
        remove_system_user()
    for path in reversed(plan.own):
        remove(path)
    for path in _byte_code():
        remove(path)


def closing_message(plan: Plan) -> str:
    """What is left."""
    left = f"left besides the clone itself, as listed above: {', '.join(map(str, plan.kept))}" if plan.kept else ""
    return f"purged: {left or 'only the clone itself is left'} (uv and Go keep packages in caches of their own)"


def run(confirm: str = "") -> int:
    """Show, ask, remove; the exit code is 0 when everything is gone. confirm: `purge` answers in advance."""
    try:
        plan = look()
        if not any((plan.stacks, plan.on_engines, plan.own, plan.shared, plan.system_user, plan.data.exists())):
            say("nothing to purge")
            return 0
        print(describe(plan), flush=True)
        if not is_confirmed(confirm):
            say("nothing was removed")
            return 1
        carry_out(plan)
    except ToolError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"{error.strerror}: {error.filename}\n  -> fix that, then purge again")
        return 1
    say(closing_message(plan))
    return 0


if __name__ == "__main__":
    sys.exit(run(os.environ.get("CONFIRM", "")))
