"""(f) A refreshed `up` of a stack on containers that finds nothing to do, against a program with the same docker resources.

Once that alone, and once with as many resources of a provider that does nothing as ours has of its own. And what a network
of pulumi-docker adds to the program: ours has one of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.targets.clones import clone_id
from tests.bench import container_stacks, docker_resources, programs
from tests.bench.docker_resources import Copy
from tests.bench.pairs import compared, interleaved, timed
from tests.bench.progress import say
from tests.bench.refreshed import custom_resources, refuse_changes
from tests.bench.report import Report
from tests.support import engine
from tests.support.clones import Clone

OURS = "on containers: refreshed up, nothing to do"
DOCKER = "up of the same docker resources alone"
BOTH = "up of these and of a do-nothing provider"
NETWORK = "up of these and of a docker.Network"


def measure(folder: Path, rounds: int, report: Report) -> None:
    """Adds the comparisons to the report."""
    if not container_stacks.are_possible(report):
        return
    with ExitStack() as stack:
        clone = stack.enter_context(container_stacks.standing(folder))
        say("bringing up a stack on containers")
        clone.up().expect()
        resources = custom_resources(clone)
        own = sum(each["type"].startswith("circlepay:") for each in resources)
        peers = {
            name: stack.enter_context(_standing(folder, clone, resources, nothing=nothing, network=network))
            for name, nothing, network in ((DOCKER, 0, False), (BOTH, own, False), (NETWORK, 0, True))
        }
        sides: dict[str, Callable[[], float]] = {OURS: lambda: timed(lambda: clone.up().expect())}
        sides |= {name: peer.time for name, peer in peers.items()}
        measured = interleaved(sides, rounds)
        for each in (clone, *(peer.program for peer in peers.values())):
            refuse_changes(each)
    ours, docker = measured[OURS], measured[DOCKER]
    report.add(
        measured,
        compared(OURS, ours, DOCKER, docker, aim=1.5),
        compared(OURS, ours, BOTH, measured[BOTH], aim=1.5),
        compared(NETWORK, measured[NETWORK], DOCKER, docker, aim=None),
    )


@dataclass(frozen=True)
class Peer:
    """A program that is up."""

    program: Clone
    environment: dict[str, str] = field(default_factory=dict)

    def time(self) -> float:
        """Seconds of an `up` of it."""
        return timed(lambda: programs.bring_up(self.program, **self.environment))


@contextmanager
def _standing(
    folder: Path, clone: Clone, resources: list[dict[str, Any]], *, nothing: int, network: bool
) -> Iterator[Peer]:
    """A program with the docker resources of the clone's state, up, its containers running."""
    token = secrets.token_hex(5)
    copy = Copy(container_stacks.suffix(clone), clone_id(clone.root), f"-bench-{token}", token)
    declared = docker_resources.copied(resources, copy)
    containers = [each["inputs"] for each in declared if each["type"].endswith(":Container")]
    if network:
        declared.insert(0, docker_resources.network(copy))
    path = docker_resources.write(folder / f"{token}.json", _engine(resources), declared)
    peer = Peer(
        programs.program("do_nothing", folder), {"DO_NOTHING_RESOURCES": str(nothing), "DOCKER_RESOURCES": str(path)}
    )
    say(f"bringing up a program of {len(declared)} docker resources and {nothing} that do nothing")
    with container_stacks.nothing_left(token):
        engine.client().create_network(containers[0]["networkMode"], labels={engine.CLONE: token})
        peer.time()
        for container in containers:
            engine.client().start(container["name"])
        yield peer


def _engine(resources: list[dict[str, Any]]) -> str:
    return next(str(each["inputs"]["engine"]) for each in resources if "engine" in each["inputs"])
