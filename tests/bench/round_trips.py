"""(d) How often the provider asks each server when it reads everything: counted on the wire, on a live stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infra.pulumi_marks import SIGNATURE
from tests.bench.refreshed import custom_resources, live_clone
from tests.bench.report import ReadCount, Report
from tests.support.round_trips import observed_through_proxies


def measure(folder: Path, report: Report) -> None:
    """Adds the counts of both servers to the report."""
    with live_clone(folder) as clone:
        states = [(item["type"], plain(item["outputs"])) for item in custom_resources(clone)]
        asked = observed_through_proxies(states)
    report.counts += [
        ReadCount(
            title,
            asked[name].facts.round_trips,
            asked[name].alive.round_trips,
            asked[name].facts.connections + asked[name].alive.connections,
        )
        for title, name in (("PostgreSQL", "postgres"), ("Redis", "redis"))
    ]


def plain(value: Any) -> Any:
    """A property of an exported state with its secrets opened."""
    if isinstance(value, dict):
        if SIGNATURE in value:
            return plain(json.loads(value["plaintext"]))
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
