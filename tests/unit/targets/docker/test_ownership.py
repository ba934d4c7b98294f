"""Names, labels and ports on an engine: ours are found again, anybody else's are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from infra.errors import TargetError
from infra.targets import ports
from infra.targets.docker import networks, ownership, reservations
from infra.targets.docker.ownership import Names
from infra.targets.docker.target import TARGET
from infra.targets.ports import PortRequest
from tests.support import engine
from tests.support.quiet_ports import quiet_port
from tests.unit.targets.docker.conftest import Stage

LABELS = ownership.labels("0123456789", "dev", "/srv/circlepay")


def test_the_documented_names() -> None:
    assert ownership.names("redis", "") == Names("redis-circlepay", "redis_data", "redis_files")
    assert ownership.names("postgres", "-qa") == Names("postgres-circlepay-qa", "postgres_data-qa", "postgres_files-qa")
    assert ownership.network_name("-qa") == "circlepay-qa"


def refused(found: dict[str, str] | None) -> TargetError:
    with pytest.raises(TargetError) as caught:
        ownership.refuse_foreign("place redis", "volume", "redis_data", found, LABELS)
    return caught.value


@pytest.mark.parametrize("found", [None, {}, {"com.example": "x"}])
def test_what_has_no_label_is_somebodys(found: dict[str, str] | None) -> None:
    error = refused(found)
    assert error.path == "volume redis_data"
    assert "no label of ours" in error.cause
    assert "circlepay:docker.suffix" in error.hint


def test_another_stack_and_another_clone_are_named() -> None:
    assert "stack qa in /srv/circlepay" in refused({**LABELS, ownership.STACK: "qa"}).cause
    other = ownership.labels("another", "dev", "/home/k")
    assert "stack dev in /home/k" in refused(other).cause


def test_our_own_is_welcome() -> None:
    ownership.refuse_foreign("place redis", "volume", "redis_data", {**LABELS, "more": "1"}, LABELS)


def own(stage: Stage) -> Names:
    return Names(stage.parts.container, stage.parts.data_volume, stage.parts.files_volume)


def test_a_foreign_volume_and_a_foreign_container_are_refused_and_left(stage: Stage, elsewhere: Stage) -> None:
    with pytest.raises(TargetError, match="volume"):
        ownership.claim(stage.api, "place third", own(stage), elsewhere.parts.labels, "")
    assert ownership.inspected_volume(stage.api, stage.parts.data_volume) is not None


def test_data_made_with_other_secrets_is_refused(stage: Stage) -> None:
    with pytest.raises(TargetError, match="made with other secrets"):
        ownership.claim(stage.api, "place third", own(stage), stage.parts.labels, "another-set")


def reserve(
    stage: Stage, requested: int | None, documented: int, kept: int | None = None, *, server: str = "third"
) -> int:
    request = PortRequest(server, "127.0.0.1", requested, documented, f"{stage.location.clone} {server}")
    return reservations.reserve(stage.api, stage.parts.container, request, stage.parts.labels, kept)


def reserved(stage: Stage) -> list[str]:
    """Reservations of the stage's stack."""
    found = engine.belongings(stage.location.clone)
    return [each for each in found if each.startswith("volume circlepay_port_")]


def test_a_port_is_reserved_and_found_again(stage: Stage) -> None:
    free = quiet_port()
    assert [reserve(stage, None, free), reserve(stage, None, free)] == [free, free]
    assert reserved(stage) == [f"volume circlepay_port_{free}"]
    assert reserve(stage, None, quiet_port(), kept=free) == free


def test_a_port_that_is_asked_for_takes_the_place_of_the_one_before(stage: Stage) -> None:
    kept, asked = reserve(stage, None, quiet_port()), quiet_port()
    assert reserve(stage, asked, 7007, kept=kept) == asked
    assert reserved(stage) == [f"volume circlepay_port_{asked}"]


def test_a_port_that_another_stack_reserved_is_that_stacks(stage: Stage, elsewhere: Stage) -> None:
    port = quiet_port()
    try:
        assert reserve(elsewhere, None, port) == port
        assert reserve(stage, None, port, kept=port) > port
        with pytest.raises(TargetError, match="this port is reserved for stack test in /nowhere"):
            reserve(stage, port, 7007)
    finally:
        reservations.release(stage.api, "third", elsewhere.parts.labels)
        ports.release(f"{elsewhere.location.clone} third")
    assert reserve(stage, port, 7007) == port


def test_a_reservation_that_is_lost_or_another_stacks_is_drift_and_made_again(stage: Stage, elsewhere: Stage) -> None:
    kept = stage.location.port
    assert reserve(stage, None, kept) == kept
    assert TARGET.find(stage.location, port_requested=False) == (True, "")
    engine.remove(f"volume circlepay_port_{kept}")
    gone = f"the reservation of port {kept} is gone from the engine"
    assert TARGET.find(stage.location, port_requested=False) == (True, gone)
    assert reserve(stage, None, 7007, kept=kept) == kept
    assert TARGET.find(stage.location, port_requested=False) == (True, "")
    reason = f"port {kept} is reserved for stack test in /nowhere by now"
    assert TARGET.find(elsewhere.location, port_requested=True) == (True, reason)


def test_a_reservation_ends_with_its_server_and_no_other(stage: Stage) -> None:
    reserve(stage, None, quiet_port())
    others = reserve(stage, None, quiet_port(), server="fourth")
    reservations.release(stage.api, "third", stage.parts.labels)
    assert reserved(stage) == [f"volume circlepay_port_{others}"]


def test_a_port_of_a_container_that_does_not_run_is_taken_but_for_its_own_server(stage: Stage) -> None:
    port = quiet_port()
    binding: Any = stage.api.create_host_config(port_bindings={"7007/tcp": ("127.0.0.1", port)})
    name = f"{stage.parts.container}-other"
    stage.api.create_container(
        stage.parts.image, name=name, ports=[(7007, "tcp")], host_config=binding, labels=dict(stage.parts.labels)
    )
    assert reserve(stage, None, port) > port
    with pytest.raises(TargetError, match=f"taken by container {name}"):
        reserve(stage, port, 7007)
    request = PortRequest("fourth", "127.0.0.1", None, 7007, f"{stage.location.clone} fourth")
    assert reservations.reserve(stage.api, name, request, stage.parts.labels, None) == port


def test_a_network_is_made_once_and_somebody_elses_is_refused(stage: Stage, elsewhere: Stage) -> None:
    labels = stage.parts.labels
    found, made = networks.ensure(stage.api, stage.network, labels)
    assert not made
    with pytest.raises(TargetError, match="network"):
        networks.ensure(stage.api, stage.network, elsewhere.parts.labels)
    networks.remove(stage.api, stage.network, elsewhere.parts.labels)
    assert networks.find(stage.api, stage.network, labels) is not None
    networks.remove(stage.api, stage.network, labels)
    networks.remove(stage.api, stage.network, labels)
    again, made = networks.ensure(stage.api, stage.network, labels)
    assert made
    assert again != found
    networks.remove(stage.api, stage.network, labels)
    open_to_all = stage.api.create_network(stage.network, driver="bridge", labels=dict(labels))["Id"]
    mended, made = networks.ensure(stage.api, stage.network, labels)
    assert made
    assert mended != open_to_all
