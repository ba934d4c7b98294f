"""The plugin that is built answers to every name that the Python package sends it, and Pulumi takes it for its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.pulumi import docker_plugin_contract as contract
from tools import go
from tools.pulumi import docker_plugin

PROGRAM = """
import pulumi
import pulumi_docker as docker

provider = docker.Provider("engine", disable_docker_daemon_check=True)
docker.Volume("data", name="data", opts=pulumi.ResourceOptions(provider=provider))
"""


@pytest.fixture(scope="module")
def program() -> Path:
    """The plugin as built, not the official one that the machine may have."""
    built = go.destination("docker-plugin", [docker_plugin.PROGRAM]) / "bin" / docker_plugin.PROGRAM.name
    if not built.exists():
        pytest.skip(f"needs the plugin: {docker_plugin.FORCED_BY}=1 tools/environment.sh true")
    return built


@pytest.fixture(scope="module")
def schema(program: Path) -> dict[str, Any]:
    return contract.asked_schema(program)


def test_it_calls_itself_the_version_it_stands_in_for(program: Path, schema: dict[str, Any]) -> None:
    told = subprocess.run([str(program), "-version"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == docker_plugin.VERSION
    assert schema["version"] == docker_plugin.VERSION
    assert "unofficial" in schema["displayName"]


def test_it_has_every_resource_and_function_but_one(schema: dict[str, Any]) -> None:
    assert set(contract.answered(schema).inputs) == set(contract.expected().inputs)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_every_name_and_type_is_as_the_python_package_has_it(schema: dict[str, Any], side: str) -> None:
    wanted, given = getattr(contract.expected(), side), getattr(contract.answered(schema), side)
    assert [line for token in wanted for line in contract.differences(token, wanted[token], given[token])] == []


def test_what_is_missing_or_of_another_type_would_be_noticed() -> None:
    wanted: contract.Shape = {"ports": [{"ip": "string"}], "labels": {"*": "string"}, "user": "string"}
    given: contract.Shape = {"ports": [{"ip": "integer"}], "labels": ["string"], "more": "string"}
    assert contract.differences("c", wanted, given) == [
        "c.user is missing",
        "c.ports[].ip is integer, not string",
        "c.labels is a list, not an object",
    ]


def test_a_password_is_a_secret_by_itself(schema: dict[str, Any]) -> None:
    reference = schema["provider"]["inputProperties"]["registryAuth"]["items"]["$ref"].removeprefix("#/types/")
    assert schema["types"][reference]["properties"]["password"]["secret"] is True


def test_pulumi_finds_it_without_a_download_or_a_warning(program: Path, tmp_path: Path) -> None:
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        pytest.skip("needs pulumi on PATH: tools/environment.sh")
    docker_plugin.install(tmp_path / "home")
    project = tmp_path / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text("name: trial\nruntime: python\n")
    (project / "__main__.py").write_text(PROGRAM)
    (tmp_path / "state").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")} | {
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "trial",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    said = ""
    for arguments in (["stack", "init", "trial"], ["preview", "--stack", "trial"]):
        argv = [pulumi, "--non-interactive", *arguments]
        run = subprocess.run(
            argv, cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        said = run.stdout + run.stderr
        assert run.returncode == 0, said
    assert "+ 3 to create" in said
    assert "warning" not in said
