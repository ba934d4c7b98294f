"""Stacks on the container engine for (e) and (f), and what must be there for them. Nothing stays on the engine afterwards."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from infra.targets.clones import clone_id
from tests.bench.cold import fresh_clone
from tests.bench.progress import say
from tests.bench.report import Report
from tests.images import references as test_images
from tests.support import engine
from tests.support.clones import Clone
from tools.pulumi import docker_plugin
from tools.pulumi_settings import home

IMAGES = (("postgres", 17), ("redis", 7))
PATIENCE = 120.0
"""Seconds that an interrupted run of Pulumi may take to end."""


def are_possible(report: Report) -> bool:
    """Whether engine, images and plugin are there; a note either way."""
    missing = absent()
    if missing:
        report.note(f"Nothing was measured on containers, which needs {missing}.")
        say(report.notes[-1])
        return False
    version = engine.client().version()
    images = " and ".join(_references())
    report.note(f"Containers: engine {version['Version']} of {version['Os']}/{version['Arch']}, {images}.")
    return True


def absent() -> str:
    """What a stack on containers lacks here; empty when nothing."""
    plugin = home(os.environ) / "plugins" / docker_plugin.FOLDER_NAME
    lacking = [] if plugin.exists() else [f"Pulumi's Docker plugin in {plugin}"]
    return ", ".join(lacking + list(filter(None, [engine.absent(IMAGES)])))


@contextmanager
def standing(folder: Path, *, verify: bool = True) -> Iterator[Clone]:
    """A clone whose servers will run in containers; not up yet. All that it has on the engine is removed at the end.

    Not by `pulumi destroy`: that takes seconds for each of them, and stops at what an interrupted run left half made.
    """
    clone = fresh_clone(folder, verify=verify)
    postgres, redis = _references()
    own = {"postgresImage": postgres, "redisImage": redis, "suffix": suffix(clone)}
    clone.configure(target="docker", docker=own)
    with nothing_left(clone_id(clone.root)):
        yield clone
    shutil.rmtree(clone.root)


def suffix(clone: Clone) -> str:
    """What is added to the names of a clone's things on the engine."""
    return clone.suffix


@contextmanager
def nothing_left(mark: str) -> Iterator[None]:
    """Removes everything with that value of the clone's label, whatever happens meanwhile."""
    try:
        yield
    finally:
        end_interrupted_runs()
        for belonging in engine.belongings(mark):
            engine.remove(belonging)


def end_interrupted_runs() -> None:
    """Ends runs of Pulumi that are still going: in sessions of their own, they were not told of a ctrl-c."""
    runs = [child for child in psutil.Process().children() if child.name() == "pulumi"]
    for run in runs:
        run.send_signal(signal.SIGINT)
    psutil.wait_procs(runs, PATIENCE)


def _references() -> tuple[str, ...]:
    return tuple(test_images.reference(*image) for image in IMAGES)
