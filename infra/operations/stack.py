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
from infra.operations import engine_errors
from infra.tunnels import is_remote, reach

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("postgres", "redis")
DEFAULT_PORTS = {"postgresql": 5432, "redis": 6379}


class StackError(CirclePayError):
    """The stack's outputs cannot be had: no Pulumi, no such stack, never brought up."""


@dataclass(frozen=True)
class ServerView:
    """One server of a stack, as its outputs describe it.

    name: `postgres` or `redis`. version: as last seen by `up`. data_path: inside the container where there is one.

    Of a process: folder: the server's own, with data, configuration and logs. programs: folder of the server's
    executables. log_path: file, or folder of files. None for a server in a container.

    Of a container: container, volume: names of it and of its data's volume. engine: URL. Empty for a process.
    """

    name: str
    endpoint: Endpoint
    version: str
    data_path: Path
    folder: Path | None = None
    log_path: Path | None = None
    programs: Path | None = None
    container: str = ""
    volume: str = ""
    engine: str = ""

    def reached(self) -> Endpoint:
        """Where this process reaches it: by a tunnel, where its engine is on another machine. Raises TunnelError."""
        return _reached(self.endpoint, self.engine)


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
    def findings(self) -> list[dict[str, str]]:
        """What was found and only a decision can settle."""
        return list(self.outputs.get("findings") or [])

    @property
    def warnings(self) -> list[str]:
        """What the settings allow but is worth saying."""
        return [str(text) for text in self.outputs.get("warnings") or []]

    @property
    def verification(self) -> dict[str, Any]:
        """passed and failed counts, and when."""
        return dict(self.outputs.get("verification") or {})

    def server(self, name: str) -> ServerView:
        """The server called `name`. Raises StackError when the outputs do not describe it."""
        value = self.outputs.get(name) or {}
        try:
            return ServerView(
                name=name,
                endpoint=Endpoint(str(value["address"]), int(value["port"])),
                version=str(value.get("version") or ""),
                data_path=Path(value["dataPath"]),
                folder=_path(value["folder"]),
                log_path=_path(value["logPath"]),
                programs=_path(value["programs"]),
                container=str(value.get("container") or ""),
                volume=str(value.get("volume") or ""),
                engine=str(value.get("engine") or ""),
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
        engine = str((self.outputs.get(server) or {}).get("engine") or "")
        return replace(login, endpoint=_reached(login.endpoint, engine))


def _reached(endpoint: Endpoint, engine: str) -> Endpoint:
    return reach(endpoint.host, endpoint.port, engine if is_remote(engine) else "")


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


def resource(state: Mapping[str, Any], kind: str, name: str) -> dict[str, Any] | None:
    """One resource of an exported state by its type and its own name, None where there is none."""
    for item in (state.get("deployment") or {}).get("resources") or []:
        if item["type"] == kind and item["urn"].rpartition("::")[2] == name:
            return dict(item)
    return None


def run_pulumi(arguments: Sequence[str], stack: str, project_root: Path, more: Mapping[str, str] | None = None) -> str:
    """What Pulumi printed. more: added to its environment. Raises StackError when there is no Pulumi or it failed."""
    argv = [*pulumi_command(project_root), *arguments, "--non-interactive"]
    environment = {**os.environ, "STACK": stack, **(more or {})}
    done = subprocess.run(
        argv, cwd=project_root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        told = engine_errors.told(done.stdout)
        raise failed(stack, " ".join(arguments[:2]), "\n".join(told) or done.stderr or done.stdout, told)
    return done.stdout


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
    raise StackError("run pulumi", "PATH", "there is no pulumi here", "`make up` brings its own where there is none")


def failed(stack: str, doing: str, said: str, told: Sequence[str] = ()) -> CirclePayError:
    """What was said as an error that says what to do. told: the engine's error messages, where there were events."""
    own = [error for message in told if (error := engine_errors.own_error(message)) is not None]
    if own and len(told) == 1:
        return own[0]
    if told:
        return StackError(doing, stack, "; ".join(told), "")
    if "no stack named" in said:
        return StackError("read stack", stack, "there is no such stack", up_hint(stack))
    if engine_errors.WRONG_PASSPHRASE in said:
        return engine_errors.wrong_passphrase(stack)
    lines = [line.strip().removeprefix("error: ") for line in said.splitlines() if line.strip()]
    return StackError(doing, stack, "; ".join(lines[-3:]) or "pulumi failed and said nothing", "")


def incomplete(stack: str, output: str) -> StackError:
    """An output is missing: an `up` that never got that far."""
    return StackError("read stack", stack, f"its output {output!r} is missing or incomplete", up_hint(stack))


def up_hint(stack: str) -> str:
    """What to type to have the stack."""
    return "make up" if stack == "local" else f"make up STACK={stack}"
