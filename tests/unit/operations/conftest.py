"""A stack as its outputs describe it: real servers behind it, and a real Pulumi state for what reads one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from infra.env_file.encoding import KEYS, encode
from infra.operations.stack import StackView
from infra.targets.location import Location
from infra.targets.spec import ServerSpec
from tests.support import live_servers
from tests.support.live_servers import LiveServer
from tests.support.locations import process_location
from tests.unit.targets.docker.conftest import Stage, stage

__all__ = ["Stage", "stage"]

FINDING = {
    "subject": "index idx_users_email",
    "problem": "covered by users_email_key",
    "cost": "8 kB",
    "remedy": "drop it",
}


@dataclass(frozen=True)
class Servers:
    """Both servers, and the application's password."""

    postgres: LiveServer
    cache: LiveServer
    password: str


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL with the schema, and Redis."""
    with live_servers.postgres() as postgres, live_servers.cache() as cache:
        yield Servers(postgres, cache, live_servers.create_database(postgres))


@pytest.fixture
def outputs(servers: Servers, tmp_path: Path) -> dict[str, Any]:
    """A stack's outputs as the program exports them, secrets in plaintext."""
    postgres, cache = servers.postgres, servers.cache
    database, role = live_servers.DATABASE, live_servers.APPLICATION_ROLE
    at = f"127.0.0.1:{postgres.port}/{database}"

    roles = {"database": database, "applicationRole": role, "superuser": "postgres"}

    def server(name: str, live: LiveServer, version: str) -> dict[str, Any]:
        location = process_location(name, live.folder, live.port)
        location = replace(location, placeholders={**location.placeholders, "logs": str(live.folder / "server.log")})
        return server_outputs(location, version=version, programs=str(live.programs))

    return {
        "databaseUrl": f"postgresql://{role}:{quote(servers.password, safe='')}@{at}",
        "adminDatabaseUrl": f"postgresql://postgres:{quote(postgres.password, safe='')}@{at}",
        "redisUrl": f"redis://default:{quote(cache.password, safe='')}@127.0.0.1:{cache.port}/0",
        "envFile": str(tmp_path / ".env.test"),
        "postgres": server("postgres", postgres, "18.6") | roles,
        "redis": server("redis", cache, "9.1.0"),
        "verification": {"passed": 120, "failed": 0, "at": "2026-01-02T03:04:05+00:00"},
        "findings": [FINDING],
    }


@pytest.fixture
def view(outputs: dict[str, Any], tmp_path: Path) -> StackView:
    """The stack, without Pulumi."""
    return StackView("test", tmp_path, outputs)


def server_outputs(location: Location, *, version: str, programs: str) -> dict[str, Any]:
    """What a stack exports of a server."""
    return {
        "address": location.host,
        "port": location.port,
        "version": version,
        "running": True,
        "dataPath": location.placeholders["data"],
        "programs": programs,
        "location": location.to_json(),
    }


def server_resource(name: str, spec: ServerSpec, location: Location) -> dict[str, Any]:
    """A server as a state remembers what the last `up` declared."""
    kind = "circlepay:index:Server"
    inputs = {"spec": spec.to_json(), "location": location.to_json(), "instance": "", "upstream": []}
    return {
        "urn": f"urn:pulumi:test::circlepay::{kind}::{name}",
        "type": kind,
        "custom": True,
        "id": name,
        "inputs": inputs,
        "outputs": inputs,
    }


def container_outputs(stage: Stage) -> dict[str, Any]:
    """What a stack exports of the server on a stage, called `redis` there."""
    return {
        "redisUrl": f"redis://default:{stage.secrets['password']}@127.0.0.1:{stage.location.port}/0",
        "envFile": ".env.test",
        "redis": server_outputs(stage.location, version="7.0", programs=""),
    }


@pytest.fixture
def env_file(outputs: dict[str, Any]) -> Path:
    """The env file that belongs to the outputs."""
    path = Path(outputs["envFile"])
    path.touch(0o600)
    urls = {"DATABASE_URL": outputs["databaseUrl"], "REDIS_URL": outputs["redisUrl"]}
    path.write_text(encode({**dict.fromkeys(KEYS, ""), **urls}, "test"), encoding="utf-8")
    return path


@dataclass(frozen=True)
class PulumiState:
    """A state backend of a test's own. environment: what points Pulumi at it."""

    project: Path
    environment: dict[str, str]

    def pulumi(self, *arguments: str, text: str | None = None) -> str:
        """What Pulumi printed."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            ["pulumi", *arguments],
            cwd=self.project,
            env=environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def add_stack(self, name: str, outputs: dict[str, Any], resources: list[dict[str, Any]] | None = None) -> None:
        """A stack in this state with these outputs, those that hold credentials as secrets."""
        self.pulumi("stack", "init", name)
        state = json.loads(self.pulumi("stack", "export", "--stack", name))
        secret = {key: value for key, value in outputs.items() if key.endswith("Url")}
        wrapped = {
            key: {
                "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
                "plaintext": json.dumps(value),
            }
            for key, value in secret.items()
        }
        root = {
            "urn": f"urn:pulumi:{name}::circlepay::pulumi:pulumi:Stack::circlepay-{name}",
            "custom": False,
            "type": "pulumi:pulumi:Stack",
            "outputs": outputs | wrapped,
        }
        state["deployment"]["resources"] = [root, *(resources or [])]
        self.pulumi("stack", "import", "--stack", name, text=json.dumps(state))

    def write_history(self, name: str, run: dict[str, str]) -> None:
        """One run in the stack's history, as the file backend keeps it: whole seconds since 1970."""
        moments = {key: int(datetime.fromisoformat(run[key]).timestamp()) for key in ("startTime", "endTime")}
        backend = Path(self.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
        folder = backend / ".pulumi" / "history" / "circlepay" / name
        folder.mkdir(parents=True, exist_ok=True)
        entry = {
            "kind": run["kind"],
            "result": run["result"],
            "version": 0,
            "message": "",
            "environment": {},
            "config": {},
        }
        path = folder / f"{name}-{moments['endTime']}000000000.history.json"
        path.write_text(json.dumps(entry | moments | {"resourceChanges": {"create": 1}}))


@pytest.fixture
def pulumi_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PulumiState:
    """An empty state backend, in force for this process and its children."""
    if shutil.which("pulumi") is None:
        pytest.skip("pulumi is not on PATH")
    project, backend = tmp_path / "project", tmp_path / "state"
    project.mkdir()
    backend.mkdir()
    (project / "Pulumi.yaml").write_text("name: circlepay\nruntime: python\n")
    environment = {
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE": "for tests only",
        "PULUMI_HOME": str(tmp_path / "pulumi-home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    return PulumiState(project, environment)
