"""Removes everything this clone put on the machine: servers, data, passwords, state, environment, caches.

What clones share (toolchain, cache, system user) goes with the last clone that has data here. Every step can be run
again: a purge that was interrupted continues where it stopped.

Standard library only: it must work where the environment is broken or gone. `make purge` runs it on bare Python.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from infra import files
from infra.errors import CirclePayError
from infra.operations import state_file
from infra.targets import clones, data_root
from tools.paths import CACHED, CLONE_STATE, ROOT, VIRTUAL_ENVIRONMENT, backend_url, cache
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
    of_others: dict[str, str]
    servers: list[Path]
    roots: list[Path]
    own: list[Path]
    kept: list[Path]
    shared: list[Path]
    system_user: bool
    other_clones: list[Path]
    foreign: list[Path]


def look() -> Plan:
    """What a purge would remove now."""
    kept = supplied()
    state = [path for path in CLONE_STATE.glob("*") if path not in kept] if kept else [CLONE_STATE]
    own = [
        *state,
        clones.register(clones.clone_id(ROOT)),
        VIRTUAL_ENVIRONMENT,
        *(ROOT / name for name in LEFTOVERS),
        *_byte_code(),
    ]
    states = {
        path.name.split(".json")[0]: path for path in STATE.glob(".pulumi/stacks/circlepay/*.json*") if _holds(path)
    }
    of_others = {stack: original for stack, path in states.items() if (original := _made_by_another(path))}
    deployments = [state_file.deployment(path) for stack, path in states.items() if stack not in of_others]
    engines = sorted({engine for each in deployments for engine in state_file.engines(each)})
    roots = _roots(deployments)
    others = [path for root in roots for path in data_root.clones(root) if path.name != clones.clone_id(ROOT)]
    shared = [] if others else [*(path for root in roots for path in _shared_in(root)), *_plugins(), *_cached()]
    return Plan(
        stacks=sorted(states.keys() - of_others.keys()),
        engines=engines,
        on_engines=on_engines(engines),
        of_others=of_others,
        servers=[path for root in roots for path in _servers(root)],
        roots=roots,
        own=[path for path in own if path.exists() and path not in kept],
        kept=kept,
        shared=shared,
        system_user=not others and os.geteuid() == 0 and _system_user_is_ours(),
        other_clones=others,
        foreign=[] if others else [path for folder in (*roots, cache()) for path in _foreign(folder, shared)],
    )


def _made_by_another(state: Path) -> str:
    """The path of the clone that made a stack's servers, where this is a copy of it; else empty. Raises ToolError.

    Of a copied clone only the record of them goes.
    """
    for each in state_file.locations(state_file.deployment(state)):
        try:
            clones.refuse_another("purge", each.clone, each.project_root, ROOT)
        except CirclePayError as error:
            if not clones.is_clone(Path(each.project_root)):
                raise ToolError(error.message) from None
            return each.project_root
    return ""


def _roots(deployments: list[dict[str, Any]]) -> list[Path]:
    """Folders of ours that servers' folders are in: the usual one, and those of the stacks."""
    folders = [
        each.names["folder"] for one in deployments for each in state_file.locations(one) if "folder" in each.names
    ]
    found = [data_root.located(data_root.default()), *(Path(folder).parents[2] for folder in folders)]
    return [path for path in dict.fromkeys(found) if not path.is_symlink() and data_root.is_ours(path)]


def _servers(root: Path) -> Iterator[Path]:
    """Folders of this clone's servers in it, by their marks."""
    for folder in (root / clones.clone_id(ROOT)).glob("*/*"):
        mark = data_root.mark_of(folder)
        if not folder.is_symlink() and mark is not None and clones.is_same(str(mark.get("project_root")), str(ROOT)):
            yield folder


def _shared_in(root: Path) -> Iterator[Path]:
    """What all servers in it share, and the mark last: without it nothing in the folder would be ours."""
    names = (data_root.PROGRAMS, data_root.ADOPTED, data_root.LOCK, data_root.MARK)
    yield from (root / name for name in names if os.path.lexists(root / name))


def _cached() -> Iterator[Path]:
    """What this project keeps in the cache, if that is a folder and not a link to one."""
    if not cache().is_symlink():
        yield from (cache() / name for name in sorted(CACHED) if os.path.lexists(cache() / name))


def _foreign(folder: Path, ours: list[Path]) -> Iterator[Path]:
    """What else is in a folder of ours."""
    if folder.is_symlink():
        yield folder
    elif folder.is_dir():
        mine = {*ours, folder / clones.clone_id(ROOT)}
        yield from (path for path in sorted(folder.iterdir()) if path not in mine)


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
    return [*holding, *CLONE_STATE.glob("passphrase*")] if holding else []


def _plugins() -> list[Path]:
    """What this project put into the plugin folder of the user's own Pulumi; a home in the cache goes with the cache."""
    folder = docker_plugin.installed(home(os.environ))
    return [folder] if folder and not folder.is_relative_to(cache()) else []


def _holds(path: Path) -> bool:
    return path.name.endswith((".json", ".json.gz")) and bool(state_file.resources(path))


def _byte_code() -> list[Path]:
    skipped = {VIRTUAL_ENVIRONMENT, CLONE_STATE, ROOT / ".git"}
    tops = [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink() and path not in skipped]
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
    lines += [
        f"the record of stack {stack}, copied from {original}, which keeps its servers and data"
        for stack, original in plan.of_others.items()
    ]
    lines += [str(path) for path in plan.servers]
    lines += [str(path) for path in plan.own if path.name != "__pycache__"]
    lines += [f"{path}  (no other clone uses it)" for path in plan.shared]
    lines += [f"the system user {SYSTEM_USER}"] if plan.system_user else []
    kept = [f"kept, because it holds secrets of Circle's that only you can delete: {path}" for path in plan.kept]
    shared = ", ".join(map(str, (cache(), *plan.roots)))
    kept += [f"kept, because other clones have data here: {shared}"] if plan.other_clones else []
    kept += [f"kept, because this project did not make it: {path}" for path in plan.foreign]
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


def _remove_server(folder: Path) -> None:
    """Removes a server's folder, unless it is in use, and what is empty above it."""
    alive = processes_in(folder)
    if alive:
        raise ToolError(
            f"processes still run in {folder}: {', '.join(map(str, alive))}\n"
            f"  -> stop them (kill {' '.join(map(str, alive))}), then purge again"
        )
    remove(folder)
    for parent in folder.parents[:2]:
        _remove_if_empty(parent)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def carry_out(plan: Plan) -> None:
    """Remove what the plan names, what holds data first and what this runs on last."""
    for stack in plan.stacks:
        take_down(stack)
    clear_engines(plan.engines)
    for folder in plan.servers:
        _remove_server(folder)
    for path in plan.shared:
        remove(path)
    for folder in (*plan.roots, cache()):
        _remove_if_empty(folder)
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
        if not any((plan.stacks, plan.on_engines, plan.own, plan.shared, plan.system_user, plan.servers)):
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
