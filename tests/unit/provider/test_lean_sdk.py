"""What the plugin's start executes: it is on every run's clock, twice."""

from __future__ import annotations

import json
import subprocess
import sys

from infra.provider.lean_sdk import UNUSED

START = """
import json, sys
from infra.provider import lean_sdk
lean_sdk.install()
from infra.provider import protocol
from infra.provider.resource_types import handlers
handlers()
print(json.dumps([name for name, module in sys.modules.items() if "__spec__" in object.__getattribute__(module, "__dict__")
                  and type(module).__name__ != "_LazyModule"]))
"""
LATE = ("psycopg", "redis", "pydantic", "yaml.cyaml", "pytest", "sqlalchemy")


def executed(code: str) -> set[str]:
    """Modules that were executed in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_start_executes_nothing_that_only_some_calls_need() -> None:
    modules = executed(START)
    assert not modules & {*UNUSED, *LATE}
    assert "infra.provider.protocol" in modules


def test_without_it_the_sdk_would_execute_them_all() -> None:
    assert executed(START.replace("lean_sdk.install()", "")) >= UNUSED


def test_what_was_left_out_works_when_it_is_asked_for() -> None:
    code = """
from infra.provider import lean_sdk
lean_sdk.install()
import pulumi
print(pulumi.automation.LocalWorkspace.__name__, pulumi.dynamic.ResourceProvider.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["LocalWorkspace", "ResourceProvider"]
