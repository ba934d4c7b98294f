"""Steps on resources of pulumi-docker in our words: what, why, and nothing secret."""

from __future__ import annotations

from typing import Any

import pytest

from infra import pulumi_marks
from infra.changes import describe
from infra.targets import foreign
from infra.targets.docker import pulumi_docker

URN = "urn:pulumi:dev::circlepay::docker:index/"
DIGEST = "9308f97357839ba04d4a87635f48edb821850067b326b5d5b790a67e75b59fb3"
SECRET = {pulumi_marks.SIGNATURE: pulumi_marks.SECRET, "ciphertext": "v1:hidden"}


def _step(operation: str, kind: str, own: str, old: Any = None, new: Any = None, paths: Any = ()) -> dict[str, Any]:
    """An engine event's metadata. old: outputs before. new: inputs after."""
    return {
        "op": operation,
        "urn": f"{URN}{kind.lower()}:{kind}::{own}",
        "type": f"docker:index/{kind.lower()}:{kind}",
        "old": None if old is None else {"inputs": {}, "outputs": old},
        "new": None if new is None else {"inputs": new, "outputs": {}},
        "detailedDiff": {path: {"diffKind": "update-replace"} for path in paths},
    }


def _container(operation: str, old: Any = None, new: Any = None, paths: Any = ()) -> dict[str, Any]:
    before, after = ({"name": "redis-circlepay", **side} if side is not None else None for side in (old, new))
    return _step(operation, "Container", "redis-container", before, after, paths)


def _told(step: dict[str, Any], *, gone: bool = False) -> list[str]:
    return [describe(change) for change in pulumi_docker.changes(step, gone=gone)]


def test_a_new_container_is_told_by_its_name_on_the_engine() -> None:
    assert _told(_container("create", new={})) == [
        "create container redis-circlepay — is not there yet [no lock; live; reversible]"
    ]
    assert "is gone" in _told(_container("create", new={}), gone=True)[0]


def test_a_replaced_container_tells_both_values_and_that_connections_end() -> None:
    step = _container(
        "replace",
        {"logOpts": {"max-size": "10m"}, "ports": [{"external": 6379}], "readOnly": True},
        {"logOpts": {"max-size": "11m"}, "ports": [{"external": 6380}]},
        ['logOpts["max-size"]', "ports[0].external", "readOnly"],
    )
    assert _told(step) == [
        'replace container redis-circlepay — logOpts["max-size"]: 10m -> 11m; ports[0].external: 6379 -> 6380; '
        "readOnly: true -> none [every connection is closed; restart; reversible]"
    ]


@pytest.mark.parametrize(("operation", "is_told"), [("replace", True), ("create-replacement", True), ("same", False)])
def test_which_operations_are_changes(operation: str, is_told: bool) -> None:
    step = _container(operation, {"user": "1:1"}, {"user": "2:2"}, ["user"])
    assert bool(_told(step)) is is_told
    assert not is_told or "user: 1:1 -> 2:2" in _told(step)[0]


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ([{"label": "a"}, {"label": "b"}], [{"label": "b"}, {"label": "a"}], "labels[0].label"),
        ([{"label": "a"}], [{"label": "a"}, {"label": "b"}], "labels[1].label"),
        (["a"], pulumi_marks.UNKNOWN, "labels"),
    ],
    ids=["another order", "one more", "known later"],
)
def test_of_lists_only_the_name_is_told(old: Any, new: Any, path: str) -> None:
    step = _container("update", {"labels": old}, {"labels": new}, [path])
    assert "redis-circlepay — labels [" in _told(step)[0]


@pytest.mark.parametrize("nested", [True, False])
def test_no_secret_is_told(nested: bool) -> None:
    value: Any = SECRET if not nested else {"password": SECRET}
    step = _container("update", {"auth": value}, {"auth": {"password": "plain"}}, ["auth.password"])
    told = _told(step)[0]
    assert "v1:hidden" not in told
    assert "[secret]" in told


def test_what_is_only_known_later_and_long_values_are_short() -> None:
    step = _container(
        "update",
        {"image": f"sha256:{DIGEST}", "hostname": "h" * 100},
        {"image": pulumi_marks.UNKNOWN, "hostname": ""},
        ["image", "hostname"],
    )
    told = _told(step)[0]
    assert "image: sha256:9308f9735783 -> known later" in told
    assert f"hostname: {'h' * 40}... -> none" in told


def test_many_properties_are_counted() -> None:
    names = [f"p{number}" for number in range(9)]
    step = _container("update", dict.fromkeys(names, 1), dict.fromkeys(names, 2), names)
    assert "p5: 1 -> 2; and 3 more" in _told(step)[0]


def test_without_details_the_names_are_told() -> None:
    step = _container("replace", {}, {}) | {"diffs": ["user"], "detailedDiff": None}
    assert "user: none -> none" in _told(step)[0]
    assert "it differs from what is declared" in _told(step | {"diffs": None})[0]


def test_an_image_is_taken_and_never_removed() -> None:
    new = {"name": f"registry.example/redis@sha256:{DIGEST}"}
    told = _told(_step("create", "RemoteImage", "redis-image", new=new))
    assert told == [
        "get image registry.example/redis@sha256:9308f9735783 — is not there yet [no lock; live; reversible]"
    ]
    assert _told(_step("delete", "RemoteImage", "redis-image", old=new)) == []
    loaded = _told(_step("create", "RemoteImage", "redis-image", new={"name": f"sha256:{DIGEST}"}))
    assert "get image redis-image sha256:9308f9735783" in loaded[0]


@pytest.mark.parametrize(("operation", "verb"), [("delete", "remove"), ("replace", "replace")])
def test_a_volume_that_goes_cannot_be_taken_back(operation: str, verb: str) -> None:
    told = _told(_step(operation, "Volume", "redis-data", old={"name": "redis_data"}, new={"name": "redis_data"}))[0]
    assert told.startswith(f"{verb} volume redis_data")
    assert told.endswith("not reversible]")


def test_a_name_that_is_not_known_yet_is_the_resources_own() -> None:
    assert "volume redis-data" in _told(_step("create", "Volume", "redis-data", new={"name": pulumi_marks.UNKNOWN}))[0]


def test_what_a_run_made_is_told_from_the_state() -> None:
    resource = {
        "type": "docker:index/volume:Volume",
        "urn": f"{URN}volume:Volume::redis-data",
        "inputs": {"name": "redis_data"},
    }
    assert pulumi_docker.made(resource)["subject"] == "volume redis_data"


@pytest.mark.parametrize(("kind", "is_one"), [("docker:index/container:Container", True), ("circlepay:index:X", False)])
def test_which_resources_are_pulumi_dockers(kind: str, is_one: bool) -> None:
    assert (foreign.of(kind) is pulumi_docker) is is_one
