"""A preview shows exactly what the `up` after it does: each change of each resource, with its reason and effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.conftest import TARGETS
from tests.support.live import LiveStack
from tests.support.quiet_ports import quiet_port

SETTINGS: dict[str, dict[str, Any]] = {
    "postgres": {
        "connectionLimit": 50,
        "restrictPublic": True,
        "dropRedundantIndexes": True,
        "sharedBuffers": 64,
        "logMinDurationStatement": 250,
    },
    "redis": {"maxmemory": "128mb", "maxmemoryPolicy": "allkeys-lfu"},
    "application": {"logLevel": "ERROR"},
}
"""Live, with a reload, with a restart; a new port, which moves a server or makes another container, comes with each."""

Changes = dict[tuple[str, str], list[dict[str, Any]]]


def _previewed(live: LiveStack) -> Changes:
    run = live.clone.run("circlepay", "preview", "--json", "--stack", live.clone.stack)
    assert run.code in (0, 2), run.output
    return {(item["resource"], item["operation"]): item["changes"] for item in json.loads(run.output)}


def _done(live: LiveStack) -> Changes:
    live.clone.make_up().expect()
    run = live.clone.run("circlepay", "summary", "--json", "--stack", live.clone.stack).expect()
    return {(item["resource"], item["operation"]): item["changes"] for item in json.loads(run.output)["changed"]}


@pytest.mark.parametrize("live", TARGETS, indirect=True, ids=lambda case: case.name)
def test_a_preview_of_other_settings_is_what_up_does(live: LiveStack) -> None:
    declared = {section: dict(live.clone.config.get(f"circlepay:{section}", {})) for section in SETTINGS}
    moved = {"postgres": {"port": quiet_port()}, "redis": {"port": quiet_port()}}
    live.clone.configure(**{name: {**declared[name], **SETTINGS[name], **moved.get(name, {})} for name in SETTINGS})
    try:
        previewed = _previewed(live)
        assert {"postgres", "database", "schema", "access", "env-file"} <= {resource for resource, _ in previewed}
        assert _done(live) == previewed
    finally:
        live.clone.configure(**{name: {**declared[name], **moved.get(name, {})} for name in SETTINGS})
    previewed = _previewed(live)
    assert previewed
    assert _done(live) == previewed
    live.clone.configure(**declared)
    live.read_again()
