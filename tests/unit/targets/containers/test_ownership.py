"""Names, labels and ports on an engine: ours are found again, anybody else's are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from infra.errors import TargetError
from infra.targets.containers import networks, ownership
from infra.targets.containers.ownership import Names, Wish
from tests.support.live_servers import free_port
from tests.unit.targets.containers.conftest import Stage

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
    return Names(stage.site.container, stage.site.data_volume, stage.site.files_volume)


def test_a_foreign_volume_and_a_foreign_container_are_refused_and_left(stage: Stage, elsewhere: Stage) -> None:
    with pytest.raises(TargetError, match="volume"):
        ownership.claim(stage.api, "place third", own(stage), elsewhere.site.labels, "")
    assert ownership.inspected_volume(stage.api, stage.site.data_volume) is not None


def test_data_made_with_other_secrets_is_refused(stage: Stage) -> None:
    with pytest.raises(TargetError, match="made with other secrets"):
        ownership.claim(stage.api, "place third", own(stage), stage.site.labels, "another-set")


def choose(stage: Stage, requested: int | None, documented: int, kept: int | None = None) -> int:
    wish = Wish("third", "127.0.0.1", requested, documented)
    return ownership.choose_port(stage.api, own(stage), wish, kept)


def test_an_unset_port_is_the_documented_one_or_the_next_that_is_free(stage: Stage) -> None:
    import socket

    free = free_port()
    assert choose(stage, None, free) == free
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", free))
        stranger.listen()
        assert choose(stage, None, free) > free
        with pytest.raises(TargetError, match="this port is taken by pid") as caught:
            choose(stage, free, free)
    assert "circlepay:third.port" in caught.value.hint


def test_a_port_is_kept_and_one_asked_for_is_taken(stage: Stage) -> None:
    assert choose(stage, None, free_port(), kept=12345) == 12345
    asked = free_port()
    assert choose(stage, asked, 7007, kept=12345) == asked
    assert choose(stage, 12345, 7007, kept=12345) == 12345


def test_a_port_of_a_container_that_does_not_run_is_taken(stage: Stage) -> None:
    port = free_port()
    binding: Any = stage.api.create_host_config(port_bindings={"7007/tcp": ("127.0.0.1", port)})
    name = f"{stage.site.container}-other"
    stage.api.create_container(
        stage.site.image, name=name, ports=[(7007, "tcp")], host_config=binding, labels=dict(stage.site.labels)
    )
    assert choose(stage, None, port) > port
    with pytest.raises(TargetError, match=f"taken by container {name}"):
        choose(stage, port, 7007)


def test_a_network_is_made_once_and_somebody_elses_is_refused(stage: Stage, elsewhere: Stage) -> None:
    labels = stage.site.labels
    found, made = networks.ensure(stage.api, stage.network, labels)
    assert not made
    with pytest.raises(TargetError, match="network"):
        networks.ensure(stage.api, stage.network, elsewhere.site.labels)
    with pytest.raises(TargetError, match="network"):
        networks.remove(stage.api, stage.network, elsewhere.site.labels)
    networks.remove(stage.api, stage.network, labels)
    networks.remove(stage.api, stage.network, labels)
    again, made = networks.ensure(stage.api, stage.network, labels)
    assert made
    assert again != found
