"""Two clones on one machine, ports, and data that only an explicit delete deletes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.conftest import ALONE, DOCKER, WHEELS, standing, unset_ports
from tests.support.clones import Clone
from tests.support.live import LiveStack
from tests.support.quiet_ports import quiet_port

PAIRS = ((WHEELS, WHEELS), (DOCKER, DOCKER), (WHEELS, DOCKER))


@pytest.fixture(params=PAIRS, ids=lambda pair: ALONE + " and ".join(case.name for case in pair))
def two_clones(request: pytest.FixtureRequest, workplace: Path) -> Iterator[tuple[Clone, Clone]]:
    """Two clones whose stacks share a machine, at most an engine, and no data root."""
    with ExitStack() as stack:
        made = [stack.enter_context(standing(case, workplace)) for case in request.param]
        for clone in made:
            root = workplace / f"data-of-{clone.root.name[-6:]}"
            root.mkdir(mode=0o755)
            unset_ports(clone)
            clone.configure(processes={"dataDirectory": str(root)})
        yield made[0], made[1]


def test_two_clones_brought_up_at_once_do_not_collide(two_clones: tuple[Clone, Clone]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for run in pool.map(lambda clone: clone.up(), two_clones):
            run.expect()
    stacks = [LiveStack(clone) for clone in two_clones]
    ports = [int(live.outputs[server]["port"]) for live in stacks for server in ("postgres", "redis")]
    assert len(set(ports)) == 4
    for live in stacks:
        live.app_stub()
        assert set(live.clone.up_counts()) == {"same"}


def test_an_explicit_port_that_is_taken_is_an_error(clone: Clone) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", quiet_port()))
        taken.listen()
        port = taken.getsockname()[1]
        clone.configure(redis={"port": port})
        run = clone.up()
    assert run.code != 0
    assert str(port) in run.output
    assert not (clone.root / ".env.local").exists()
    clone.up().expect()
    assert int(LiveStack(clone).outputs["redis"]["port"]) == port


def test_only_an_explicit_delete_deletes_data_and_its_secrets(clone: Clone) -> None:
    clone.up().expect()
    live = LiveStack(clone)
    postgres, password = live.server("postgres"), live.outputs["databaseUrl"]
    refused = clone.pulumi("destroy", "--yes", "--skip-preview", "--stack", clone.stack)
    assert refused.code != 0
    assert "protect" in refused.output
    clone.down().expect()
    assert postgres.has_data("PG_VERSION")
    clone.pulumi("state", "unprotect", "--all", "--yes", "--stack", clone.stack).expect()
    clone.pulumi("destroy", "--yes", "--skip-preview", "--stack", clone.stack).expect()
    assert postgres.is_gone
    assert not live.env_path.exists()
    clone.up().expect()
    assert LiveStack(clone).outputs["databaseUrl"] != password
