"""Reads every resource's facts once, as a refresh does, with a counting proxy before each server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from infra.provider.handler import Observed, Operation
from infra.provider.resource_types import handlers
from tests.support.counting_proxy import Count, counting_proxy, postgres_kind, redis_kind

States = list[tuple[str, dict[str, Any]]]
"""Type token and properties of each resource of a stack whose servers run."""

OPERATION = Operation(cancelled=Event(), progress=lambda _: None, warn=lambda _: None)


@dataclass
class Asked:
    """What one server was asked while every resource was observed once.

    alive: by the resource that proves that the server lives, by logging in. facts: by all the others together.
    """

    alive: Count = field(default_factory=Count)
    facts: Count = field(default_factory=Count)


def observed_through_proxies(states: States) -> dict[str, Asked]:
    """What each server was asked, by the server's name.

    Raises AssertionError where a server did not answer: then nothing was counted that means anything.
    """
    asked = {"postgres": Asked(), "redis": Asked()}
    ports = {
        state["spec"]["name"]: int(state["location"]["port"]) for token, state in states if token.endswith(":Server")
    }
    with (
        counting_proxy(ports["postgres"], postgres_kind) as postgres,
        counting_proxy(ports["redis"], redis_kind) as redis,
    ):
        proxies = {"postgres": postgres, "redis": redis}
        instead = {ports[name]: proxy.port for name, proxy in proxies.items()}
        for token, state in states:
            before = {name: proxy.count.connections for name, proxy in proxies.items()}
            observed = handlers()[token].observe(_redirected(state, instead), OPERATION)
            assert isinstance(observed, Observed), f"{token} is gone"
            assert observed.outputs.get("running", True), f"{token} did not answer through the proxy"
            for name, proxy in proxies.items():
                count = asked[name].alive if token.endswith(":Server") else asked[name].facts
                count.conversations += proxy.count.since(before[name]).conversations
    return asked


def _redirected(state: dict[str, Any], instead: Mapping[int, int]) -> dict[str, Any]:
    """The state with each port of a server's own changed to that of its proxy."""
    where = {name: state[name] for name in ("connection", "location") if state.get(name)}
    return {**state, **{name: {**place, "port": instead[int(place["port"])]} for name, place in where.items()}}
