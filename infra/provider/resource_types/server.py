"""Server: one server at its location, from its spec to answering with its credentials."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from infra.changes import Change
from infra.errors import TargetError
from infra.paths import PROJECT_ROOT
from infra.provider import prepared_suite
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values
from infra.provider.sessions import forget
from infra.provider.values import has_unknown
from infra.targets import clones, lifecycle
from infra.targets import server as servers
from infra.targets import target as targets
from infra.targets.location import Location
from infra.targets.machine import DataKind, ProcessState
from infra.targets.server import Facts
from infra.targets.server import Server as RunningServer
from infra.targets.spec import ServerSpec


class Server(Handler):
    """A server that outlives the run that started it. Deleting it stops it in its own orderly way and leaves its data."""

    token = "circlepay:index:Server"
    inputs = {
        "spec": Property("object", "The server as data, see ServerSpec."),
        "location": Property("object", "Where it is, see infra.targets.location.Location."),
        "instance": Property(
            "string", "Id of what holds its process, where that is a resource of its own; else empty."
        ),
        "secrets": Property("object", "Secrets of the spec by name.", secret=True),
        "upstream": Property("array", "What it rests on."),
    }
    outputs = {
        "running": Property("boolean", "Whether it answered when the state was last read."),
        "version": Property("string", "Version it answered."),
        "programs": Property("string", "Folder of its programs; empty where they are part of an image."),
    }
    stable = frozenset({"programs"})

    def identity(self, inputs: Values) -> str:
        return str(inputs["spec"]["name"])

    def modules(self, values: Values) -> Iterable[str]:
        location = values["location"]
        of_target = () if has_unknown(location) else targets.load(location["target"]).libraries
        return (*of_target, values["spec"]["probe"].partition(":")[0])

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        name = inputs["spec"]["name"]
        if has_unknown([inputs["location"], inputs["secrets"]]):
            if state is not None and _is_gone(state):
                raise _lost(Location.from_json(state["location"]), state)
            reason = "is not running yet" if state is None else "its location changes"
            return [Change(f"server {name}", "start" if state is None else "restart", reason)]
        with _opened(inputs) as server:
            if server is None and state is not None:
                raise _lost(Location.from_json(state["location"]), state)
            if server is None:
                return [Change(f"server {name}", "start", "is not running yet")]
            facts = servers.read(server)
            _refuse_lost_data(facts, server, state)
            if has_unknown([inputs["instance"]]):
                facts = replace(facts, process=ProcessState())
            return servers.plan(facts, server).changes

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        if state is None:
            prepared_suite.prepare()  # a created server is always verified in the same run
        location = Location.from_json(inputs["location"])
        _refuse_another_clones(f"start {location.server}", location)
        with _opened(inputs) as server:
            if server is None:
                place = targets.load(location.target).describe(location)[1]
                cause = "its location is gone, or has lost its mark"
                raise TargetError(f"start {location.server}", place, cause, "run `up` again")
            if state is not None:
                _refuse_lost_data(servers.read(server), server, state)
            previous = None if state is None else functools.partial(_opened, state)
            outcome = lifecycle.apply(
                server, cancelled=operation.cancelled, progress=operation.progress, previous=previous
            )
            endpoint = location.endpoint()
            forget(endpoint.host, endpoint.port)
            outputs = {"running": True, "version": outcome.version, "programs": server.machine.programs_folder}
        return Converged(outputs, outcome.changes)

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        try:
            with _opened(state) as server:
                if server is None:  # kept, so that `up` refuses to begin empty
                    return Observed({"running": False})
                facts = servers.read(server)
                drift = servers.plan(facts, server).changes
        except TargetError:
            return Observed({"running": False})
        return Observed({"running": bool(facts.version), "version": facts.version or state["version"]}, drift)

    def delete(self, state: Values, operation: Operation) -> None:
        location = Location.from_json(state["location"])
        _refuse_another_clones(f"stop {location.server}", location)
        with _opened(state) as server:
            if server is not None:
                lifecycle.stop(server, progress=operation.progress)

    def upgraded(self, values: Values) -> Values:
        return targets.upgraded_server(values)


def _refuse_lost_data(facts: Facts, server: RunningServer, state: Values | None) -> None:
    """Raises TargetError where the state knows of data at this very place, and there is none: it would begin empty."""
    if state is None or facts.data is not DataKind.ABSENT:
        return
    now, before = server.machine.location, Location.from_json(state["location"])
    if (now.target, now.via, now.names.get("engine")) != (before.target, before.via, before.names.get("engine")):
        return  # a server elsewhere begins empty
    raise _lost(now, state)


def _is_gone(state: Values) -> bool:
    """Whether the place that the state knows is positively absent."""
    try:
        with _opened(state) as server:
            return server is None
    except TargetError:
        return False


def _lost(location: Location, state: Values) -> TargetError:
    return TargetError(
        f"start {location.server}",
        targets.load(location.target).describe(location)[1],
        f"its data is gone: the server has run on it (version {state['version']}), and there is nothing left in it",
        "restore it from a backup; to begin anew with empty data, and other passwords: make down STACK=... DATA=delete",
    )


def _refuse_another_clones(operation: str, location: Location) -> None:
    clones.refuse_another(operation, location.clone, location.project_root, PROJECT_ROOT)


@contextmanager
def _opened(values: Values) -> Iterator[RunningServer | None]:
    """The server on its machine; None where its location is gone."""
    location, spec = Location.from_json(values["location"]), ServerSpec.from_json(values["spec"])
    with targets.load(location.target).machine(location, spec) as machine:
        yield None if machine is None else RunningServer(machine, values["secrets"])
