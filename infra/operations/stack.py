"""A stack that was brought up, as its outputs describe it.

The outputs hold credentials. They are kept out of `repr` and never printed; what shows a stack takes single values.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from infra.endpoint import Endpoint, Login
from infra.errors import CirclePayError
from infra.operations import engine_errors, state_file
from infra.paths import PROJECT_ROOT
from infra.targets import target as targets
from infra.targets.location import Location
from infra.targets.target import Log, Target
from infra.tunnels import reach

DEFAULT_PORTS = {"postgresql": 5432, "redis": 6379}


class StackError(CirclePayError):
    """The stack's outputs cannot be read: no Pulumi, no such stack, never brought up."""


@dataclass(frozen=True)
class ServerView:
    """One server of a stack, as its outputs describe it.

    name: `postgres` or `redis`. version: as last seen by `up`. data_path: as the server sees it. programs: folder of its
    executables, None where they are part of an image. log_file: of its own, empty: where the target has its logs.
    """

    name: str
    location: Location
    version: str
    programs: Path | None = None
    log_file: str = ""

    @property
    def log(self) -> Log:
        """Its log."""
        return self.target.log(self.location, self.log_file)

    @property
    def endpoint(self) -> Endpoint:
        """Where its own machine reaches it."""
        return Endpoint(self.location.host, self.location.port)

    @property
    def target(self) -> Target:
        """The target that knows its location."""
        return targets.load(self.location.target)


@dataclass(frozen=True)
class StackView:
    """What a stack says about itself. outputs: as Pulumi has them, secrets in plaintext."""

    stack: str
    project_root: Path
    outputs: Mapping[str, Any] = field(repr=False)

    @property
    def env_file(self) -> Path:
        """Path of the env file, whether it exists or not."""
        return self.project_root / str(self.outputs["envFile"])

    @property
    def own_keys(self) -> list[str]:
        """Keys of the env file that the stack has added to the documented ones."""
        return [str(name) for name in self.outputs.get("ownKeys") or []]

    @property
    def findings(self) -> list[dict[str, str]]:
        """Findings, which only a decision can settle."""
        return list(self.outputs.get("findings") or [])

    @property
    def warnings(self) -> list[str]:
        """Warnings about settings that are allowed."""
        return [str(text) for text in self.outputs.get("warnings") or []]

    @property
    def verification(self) -> dict[str, Any]:
        """passed and failed counts, and when."""
        return dict(self.outputs.get("verification") or {})

    def server(self, name: str) -> ServerView:
        """The server called `name`. Raises StackError when the outputs do not describe it."""
        value = self.outputs.get(name) or {}
        if value and "location" not in value:
            raise StackError("read stack", self.stack, "an earlier release brought it up", up_hint(self.stack))
        try:
            return ServerView(
                name=name,
                location=Location.from_json(value["location"]),
                version=str(value.get("version") or ""),
                programs=_path(value["programs"]),
                log_file=str(value.get("logFile") or ""),
            )
        except (KeyError, TypeError, ValueError):
            raise incomplete(self.stack, name) from None

    def application_login(self) -> Login:
        """The application's role on the database. Raises StackError, and TunnelError where there is no way to it."""
        return self._login("databaseUrl", "postgres")

    def admin_login(self) -> Login:
        """The superuser on the application's database; errors as above."""
        return self._login("adminDatabaseUrl", "postgres")

    def redis_login(self) -> Login:
        """Redis; errors as above."""
        return self._login("redisUrl", "redis")

    def _login(self, output: str, server: str) -> Login:
        url = self.outputs.get(output)
        if not url:
            raise incomplete(self.stack, output)
        login = parse_url(str(url))
        via = str(((self.outputs.get(server) or {}).get("location") or {}).get("via") or "")
        return replace(login, endpoint=reach(login.endpoint.host, login.endpoint.port, via))


def _path(text: str) -> Path | None:
    """A path; an empty one is none, and not the folder where this happens to run."""
    return Path(text) if text else None


def parse_url(url: str) -> Login:
    """The login a `postgresql://` or `redis://` URL describes, percent-encoding taken back."""
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    return Login(
        endpoint=Endpoint(unquote(parts.hostname or ""), port),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.removeprefix("/")),
    )


def load(stack: str, *, project_root: Path = PROJECT_ROOT) -> StackView:
    """The stack's outputs, secrets included. Raises StackError when there are none to be had."""
    text = run_pulumi(["stack", "output", "--json", "--show-secrets", "--stack", stack], stack, project_root)
    outputs = json.loads(text or "{}")
    if not outputs:
        raise StackError("read stack", stack, "it was never brought up, or it was taken down", up_hint(stack))
    return StackView(stack=stack, project_root=project_root, outputs=outputs)


def export(stack: str, *, project_root: Path = PROJECT_ROOT) -> dict[str, Any]:
    """The stack's state as `pulumi stack export` writes it; secrets stay encrypted. Raises StackError."""
    state: dict[str, Any] = json.loads(run_pulumi(["stack", "export", "--stack", stack], stack, project_root))
    return state


def deployment(stack: str, *, project_root: Path = PROJECT_ROOT) -> Mapping[str, Any]:
    """What the stack's state has, empty without one; from its file where that is here. Raises StackError."""
    path = state_file.path_of(stack, project_root)
    if path is not None:
        return state_file.deployment(path)
    return export(stack, project_root=project_root).get("deployment") or {}


def exists(stack: str, *, project_root: Path = PROJECT_ROOT) -> bool:
    """Whether there is such a stack, brought up or not. Raises StackError when its backend cannot be asked."""
    path = state_file.path_of(stack, project_root)
    if path is not None:
        return path.exists() or state_file.compressed(path).exists()
    listed = json.loads(run_pulumi(["stack", "ls", "--json"], stack, project_root))
    return stack in {each["name"].rpartition("/")[2] for each in listed}


def resource(state: Mapping[str, Any], kind: str, name: str) -> dict[str, Any] | None:
    """One resource of an exported state by its type and its own name, None where there is none."""
    for item in (state.get("deployment") or {}).get("resources") or []:
        if item["type"] == kind and item["urn"].rpartition("::")[2] == name:
            return dict(item)
    return None


def run_pulumi(arguments: Sequence[str], stack: str, project_root: Path, more: Mapping[str, str] | None = None) -> str:
    """What Pulumi printed. more: added to its environment. Raises StackError when there is no Pulumi or it failed."""
    done = ask_pulumi(arguments, stack, project_root, more)
    if done.returncode != 0:
        messages = engine_errors.error_messages(done.stdout)
        raise failed(stack, " ".join(arguments[:2]), "\n".join(messages) or done.stderr or done.stdout, messages)
    return done.stdout


def ask_pulumi(
    arguments: Sequence[str], stack: str, project_root: Path, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command of Pulumi that has ended, whether it failed or not. Raises StackError when there is no Pulumi."""
    return subprocess.run(
        [*pulumi_command(project_root), *arguments, "--non-interactive"],
        cwd=project_root,
        env={**os.environ, "STACK": stack, **(more or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def pulumi_command(project_root: Path) -> list[str]:
    """How Pulumi is called here: as it is where its environment was set up, else through the project's own environment.

    Raises StackError when neither is there.
    """
    launcher = project_root / "tools" / "environment.sh"
    on_path = shutil.which("pulumi")
    if on_path and os.environ.get("PULUMI_BACKEND_URL"):
        return [on_path]
    if launcher.is_file() and (project_root / ".circlepay").is_dir():
        return [str(launcher), "pulumi"]
    if on_path:
        return [on_path]
    raise StackError("run pulumi", "PATH", "there is no pulumi here", "`make up` installs one where there is none")


def failed(stack: str, operation: str, output: str, messages: Sequence[str] = ()) -> CirclePayError:
    """A failed command as an error that says what to do. messages: the engine's error messages, where there were events."""
    own = [error for message in messages if (error := engine_errors.own_error(message)) is not None]
    if own and len(messages) == 1:
        return own[0]
    if messages:
        return StackError(operation, stack, "; ".join(messages), "")
    if "no stack named" in output:
        return StackError("read stack", stack, "there is no such stack", up_hint(stack))
    if engine_errors.WRONG_PASSPHRASE in output:
        return engine_errors.wrong_passphrase(stack)
    lines = [line.strip().removeprefix("error: ") for line in output.splitlines() if line.strip()]
    return StackError(operation, stack, "; ".join(lines[-3:]) or "pulumi failed without a message", "")


def incomplete(stack: str, output: str) -> StackError:
    """An output is missing: an `up` that never got that far."""
    return StackError("read stack", stack, f"its output {output!r} is missing or incomplete", up_hint(stack))


def up_hint(stack: str) -> str:
    """The command that brings the stack up."""
    return "make up" if stack == "local" else f"make up STACK={stack}"
