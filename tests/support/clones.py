"""A clone of the project for one test: its own state, passphrase, data and ports, the environment of this one."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from infra.operations.state_file import repair
from infra.targets.docker.engine import locate
from tools.paths import backend_url

PROJECT_ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "infra",
    "sql",
    "config",
    "app_stub",
    "tests",
    "tools",
    "Makefile",
    "pyproject.toml",
    "uv.lock",
    "README.md",
    "LICENSE",
)
RUN_SECONDS = 180.0


@dataclass
class Run:
    """What a command printed and how it ended."""

    arguments: tuple[str, ...]
    code: int
    output: str

    def expect(self, code: int = 0) -> Run:
        """This run, when it ended with the code; an AssertionError with the whole output otherwise."""
        assert self.code == code, f"{' '.join(self.arguments)} ended with {self.code}, not {code}:\n{self.output}"
        return self


def put_project(root: Path) -> None:
    """The project's files as they are here, changes that are not committed included."""
    for name in COPIED:
        source = PROJECT_ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, root / name, ignore=ignored, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, root / name)
    for source in PROJECT_ROOT.glob("Pulumi.*"):
        if source.name != "Pulumi.local.yaml":
            shutil.copy2(source, root / source.name)


@dataclass
class Clone:
    """A copy of the project's files at `root`, with a stack of its own."""

    root: Path
    stack: str = "local"
    config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        folder: Path,
        stack: str = "local",
        config: Mapping[str, Any] | None = None,
        *,
        put_files: Callable[[Path], None] = put_project,
    ) -> Clone:
        """A clone below `folder` with a state backend and a passphrase of its own. put_files: puts its files there."""
        # What has a meaning in URLs and to pytest and shells; the last release knows only plain ones.
        name = "clone-%41 #[x]" if put_files is put_project else "clone"
        root = folder / f"{name}-{secrets.token_hex(3)}"
        root.mkdir(mode=0o755)
        put_files(root)
        (root / ".venv").symlink_to(PROJECT_ROOT / ".venv")
        own = root / ".circlepay"
        (own / "state").mkdir(parents=True)
        passphrase = own / "passphrase"
        passphrase.write_text(secrets.token_urlsafe(32))
        passphrase.chmod(0o600)
        clone = cls(root, stack, {"circlepay:processes": {"dataDirectory": str(folder / "data")}, **(config or {})})
        (folder / "data").mkdir(mode=0o755, exist_ok=True)
        clone.pulumi("stack", "init", stack).expect()
        clone.configure()
        return clone

    @property
    def environment(self) -> dict[str, str]:
        """The environment of `make` without this session's own state."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("PULUMI_") or name == "PULUMI_HOME"
        }
        return {
            **kept,
            "PATH": f"{self.root / '.venv' / 'bin'}:{self.root / 'tools' / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.root),  # the environment is this checkout's, the code is the clone's
            "PULUMI_BACKEND_URL": backend_url(self.root / ".circlepay" / "state"),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.root / ".circlepay" / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    @property
    def suffix(self) -> str:
        """What tells its containers' names from others'; its folder has characters that no name has."""
        return f"-clone-{self.root.name.rpartition('-')[2]}"

    @property
    def stack_file(self) -> Path:
        """The stack's configuration file."""
        return self.root / f"Pulumi.{self.stack}.yaml"

    def configure(self, **changes: Any) -> None:
        """Writes the stack's configuration, keeping what `stack init` put there; keywords name top-level settings."""
        self.config.update({f"circlepay:{name}": value for name, value in changes.items()})
        content = yaml.safe_load(self.stack_file.read_text()) if self.stack_file.exists() else {}
        self.stack_file.write_text(yaml.safe_dump({**(content or {}), "config": self.config}))

    def run(self, *arguments: str, seconds: float = RUN_SECONDS, environment: Mapping[str, str] | None = None) -> Run:
        """Runs a command in the clone, bounded in time, output and errors together."""
        process = subprocess.Popen(
            arguments,
            cwd=self.root,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise AssertionError(f"{' '.join(arguments)} took over {seconds} s:\n{output}") from None
        return Run(arguments, process.returncode, output)

    def pulumi(self, *arguments: str, **options: Any) -> Run:
        """`pulumi --non-interactive ARGUMENTS`."""
        return self.run("pulumi", "--non-interactive", *arguments, **options)

    def up(self, *arguments: str, **options: Any) -> Run:
        """`pulumi up`, without the separate preview."""
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", self.stack, *arguments, **options)

    def up_counts(self) -> dict[str, int]:
        """An `up` that must succeed, as its counts of same, create, update, delete."""
        self.up().expect()
        return self.latest_counts()

    def latest_counts(self) -> dict[str, int]:
        """The same of the latest run, whatever it was."""
        folder = self.root / ".circlepay" / "state" / ".pulumi" / "history" / "circlepay" / self.stack
        latest = max(folder.glob("*.history.json"))  # named by the time; `stack history` would take a second to read it
        counts: dict[str, int] = json.loads(latest.read_text())["resourceChanges"]
        return counts

    def down(self, *arguments: str) -> Run:
        """`pulumi destroy` of everything that is not protected."""
        return self.pulumi(
            "destroy", "--yes", "--skip-preview", "--exclude-protected", "--stack", self.stack, *arguments
        )

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets included."""
        text = self.pulumi("stack", "output", "--json", "--show-secrets", "--stack", self.stack).expect().output
        outputs: dict[str, Any] = json.loads(text)
        return outputs

    @property
    def state_file(self) -> Path:
        """Where Pulumi keeps the stack's state."""
        return self.root / ".circlepay" / "state" / ".pulumi" / "stacks" / "circlepay" / f"{self.stack}.json"

    def recover(self) -> None:
        """What `make up` does after a run was killed: clears its lock and repairs the files it left torn."""
        self.run("python", "-m", "infra.operations.dead_lock", self.stack).expect()
        repair(self.state_file)

    def make_up(self) -> Run:
        """What `make up` runs."""
        return self.make_target("up")

    def make_target(self, target: str, **variables: str) -> Run:
        """What `make TARGET VARIABLE=...` runs, for `up`, `preview` and `down`."""
        words = ["preview", "--create"] if target == "preview" else [target]
        run = self.run("circlepay", *words, environment={"STACK": self.stack, **variables})
        return replace(run, code=0) if target == "preview" and run.code == 2 else run

    def end(self) -> None:
        """Stops the servers and deletes data and state; what the test left behind must not outlive it."""
        self.recover()
        self.delete().expect()
        shutil.rmtree(self.root)

    def delete(self) -> Run:
        """What `make down DATA=delete` does once it is sure."""
        if self.config.get("circlepay:target") == "docker":
            url = locate("", os.environ)
            self.run("python", "-m", "infra.operations.leftovers", "unfinished", self.stack, url).expect()
        self.pulumi("state", "unprotect", "--all", "--yes", "--stack", self.stack)
        return self.pulumi("destroy", "--yes", "--skip-preview", "--stack", self.stack)
