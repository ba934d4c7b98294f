"""What the plugin's start executes: it is on every run's clock, twice."""

from __future__ import annotations

import json
import subprocess
import sys

START = """
import json, sys
from infra.provider import bindings
bindings.install()
from infra.provider import protocol
from infra.provider.resource_types import handlers
handlers()
print(json.dumps(sorted(sys.modules)))
"""
UNEXECUTED = {"pulumi", "pulumi.runtime", "pulumi.runtime.proto"}
LATE = {"psycopg", "redis", "pydantic", "yaml", "pytest", "sqlalchemy", "docker", "requests"}


def executed(code: str) -> set[str]:
    """Modules that are there after a start in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def of_the_sdk(modules: set[str]) -> set[str]:
    """Those of Pulumi's SDK that are no generated protocol."""
    return {name for name in modules if name.startswith("pulumi") and not name.startswith("pulumi.runtime.proto.")}


def test_the_start_executes_nothing_that_only_some_calls_need() -> None:
    modules = executed(START)
    assert not modules & LATE
    assert of_the_sdk(modules) == UNEXECUTED
    assert modules >= {"infra.provider.protocol", "pulumi.runtime.proto.provider_pb2"}


def test_without_it_the_whole_sdk_would_be_executed() -> None:
    modules = executed(START.replace("bindings.install()", ""))
    assert of_the_sdk(modules) > {*UNEXECUTED, "pulumi.automation", "pulumi.dynamic", "pulumi.runtime.rpc"}


def test_a_missing_sdk_is_said_by_name() -> None:
    code = "from infra.provider import bindings; bindings.install()"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "ImportError: pulumi is not an installed package" in done.stderr
