"""The command as it is run: JSON out, exit code, and the health check."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import live_servers
from tests.unit.app_stub.conftest import Services, write_env_file

COMMAND = (sys.executable, "-m", "app_stub")


def _run(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    bare = {"PATH": os.environ["PATH"]}
    done = subprocess.run([*COMMAND, *arguments], check=False, capture_output=True, text=True, env=bare, timeout=60)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@contextmanager
def _serving(env_file: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [*COMMAND, "--env-file", env_file, "--serve", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())["listening"]
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
        process.stdout.close()
    assert code == 0


def _get(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310  (our own server)
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_all_well_is_exit_code_0(env_file: Path) -> None:
    code, report = _run("--env-file", env_file)
    assert code == 0
    assert report["passed"] is True


def test_anything_wrong_is_exit_code_1(services: Services, tmp_path: Path) -> None:
    values = services.values() | {"DEBUG": "maybe"}
    code, report = _run("--env-file", write_env_file(tmp_path / ".env", values))
    assert code == 1
    assert report["passed"] is False
    assert [check["name"] for check in report["checks"] if not check["passed"]] == ["environment"]


def test_missing_env_file_is_exit_code_1(tmp_path: Path) -> None:
    code, report = _run("--env-file", tmp_path / "absent")
    assert code == 1
    assert "no such env file" in report["error"]


def test_healthz_is_200_and_on_loopback_only(env_file: Path) -> None:
    with _serving(env_file) as (process, url):
        assert _get(url) == (200, {"status": "ok", "services": {"database": "ok", "redis": "ok"}})
        listening = [
            item for item in psutil.Process(process.pid).net_connections() if item.status == psutil.CONN_LISTEN
        ]
        assert {item.laddr.ip for item in listening} == {"127.0.0.1"}


def test_healthz_is_503_while_a_service_is_down(services: Services, tmp_path: Path) -> None:
    values = services.values() | {"REDIS_URL": f"redis://:hunter2@127.0.0.1:{live_servers.free_port()}"}
    with _serving(write_env_file(tmp_path / ".env", values)) as (_, url):
        status, body = _get(url)
    assert status == 503
    assert body["status"] == "unavailable"
    assert body["services"]["database"] == "ok"
    assert "hunter2" not in str(body)


def test_other_paths_are_not_found(env_file: Path) -> None:
    with _serving(env_file) as (_, url):
        status, _body = _get(url.replace("healthz", "metrics"))
    assert status == 404


@pytest.mark.parametrize("port", ["taken", "65536"])
def test_port_that_cannot_be_used_is_exit_code_1(env_file: Path, services: Services, port: str) -> None:
    number = str(services.postgres.port) if port == "taken" else port
    code, report = _run("--env-file", env_file, "--serve", "--port", number)
    assert code == 1
    assert report["error"].startswith(f"port {number}")
