"""Images: what a reference means, and what an image must have to carry a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from docker.errors import NotFound

from infra.errors import TargetError
from infra.targets.docker import images
from infra.targets.docker.images import Image
from tests.images import references as test_images
from tests.support import container_product, engine
from tests.support.registry import Pushed, Registry, pushed, registry, remove

SPEC = container_product.spec()
VARIABLE = replace(SPEC, packaging=replace(SPEC.packaging, data_variable="PGDATA"))


@pytest.mark.parametrize(
    ("reference", "repository", "registry"),
    [
        ("postgres:17", "postgres", "docker.io"),
        ("library/postgres", "library/postgres", "docker.io"),
        ("circlepay-stand-in/postgres:17", "circlepay-stand-in/postgres", "docker.io"),
        ("127.0.0.1:5000/postgres:17", "127.0.0.1:5000/postgres", "127.0.0.1:5000"),
        ("localhost/postgres", "localhost/postgres", "localhost"),
        ("registry.example.com/a/b@sha256:00", "registry.example.com/a/b", "registry.example.com"),
    ],
)
def test_a_reference_in_its_parts(reference: str, repository: str, registry: str) -> None:
    assert images.repository_of(reference) == repository
    assert images.registry_of(reference) == registry


@pytest.mark.parametrize(
    ("image", "data", "mount"),
    [
        (Image("x", ("/var/lib/postgresql/data",), {"PGDATA": "/var/lib/postgresql/data"}), "/data", "/data"),
        # From 18 on the volume is above the data: https://github.com/docker-library/postgres/pull/1259
        (Image("x", ("/var/lib/postgresql",), {"PGDATA": "/var/lib/postgresql/18/docker"}), "/18/docker", ""),
    ],
)
def test_the_volume_belongs_where_the_image_wants_it(image: Image, data: str, mount: str) -> None:
    root = "/var/lib/postgresql"
    assert (image.data_folder(VARIABLE), image.volume_path(VARIABLE)) == (f"{root}{data}", f"{root}{mount}")


def test_an_image_without_a_folder_for_data_is_refused() -> None:
    with pytest.raises(TargetError, match="names no folder for data"):
        Image("x", ("/one", "/two")).data_folder(SPEC)


@pytest.fixture
def api() -> Any:
    if missing := engine.absent([("redis", 7)]):
        pytest.skip(f"needs {missing}")
    return engine.client()


def pin(api: Any, reference: str, *, policy: str = images.MISSING, platform: str = "", login: Any = None) -> images.Pin:
    return images.pin(api, reference, platform=platform, policy=policy, login=login, spec_name="third")


def test_an_image_that_was_loaded_is_pinned_by_its_id(api: Any) -> None:
    reference = test_images.reference("redis", 7)
    found = pin(api, reference, policy=images.NEVER)
    assert found.digest.startswith("sha256:")
    assert images.described(api, found.reference) == images.described(api, reference)


def test_an_absent_image_that_may_not_be_pulled_says_how_to_load_it(api: Any) -> None:
    with pytest.raises(TargetError, match=r"docker\.pullPolicy is never") as caught:
        pin(api, "circlepay-stand-in/absent:1", policy=images.NEVER)
    assert "docker load" in caught.value.hint


def test_another_platform_is_an_error(api: Any) -> None:
    with pytest.raises(TargetError, match="declared is linux/s390x"):
        pin(api, test_images.reference("redis", 7), platform="linux/s390x")


def test_an_image_without_the_servers_user_is_refused_and_nothing_stays(api: Any) -> None:
    nobody = replace(SPEC, packaging=replace(SPEC.packaging, image_user="nobody-of-that-name"))
    labels = {"io.circlepay.clone": "images-test"}
    with pytest.raises(TargetError, match="no user nobody-of-that-name"):
        images.facts(api, test_images.reference("redis", 7), nobody, labels)
    assert engine.belongings("images-test") == []


@pytest.fixture(scope="module")
def private() -> Iterator[tuple[Registry, Pushed]]:
    """A registry that wants a login, with an image in it that the engine does not have by that name."""
    if missing := engine.absent([("redis", 7)]):
        pytest.skip(f"needs {missing}")
    with (
        registry() as found,
        pushed(engine.client(), test_images.reference("redis", 7), found, "team/redis:7") as image,
    ):
        yield found, image


def test_a_tag_of_a_private_registry_is_pinned_to_its_digest(api: Any, private: tuple[Registry, Pushed]) -> None:
    where, image = private
    found = pin(api, image.reference, policy=images.ALWAYS, login=where.login)
    assert (found.reference, found.digest) == (image.pinned, image.digest)


def pull(api: Any, pinned: str, login: Any) -> list[str]:
    """What is told meanwhile."""
    told: list[str] = []
    images.pull(
        api, pinned, platform="", login=login, spec_name="third", progress=told.append, cancelled=threading.Event()
    )
    return told


def test_a_pull_says_what_it_pulls_and_one_that_fails_says_why(api: Any, private: tuple[Registry, Pushed]) -> None:
    where, image = private
    remove(api, image.reference)
    try:
        assert pull(api, image.pinned, where.login)[0] == f"pulling {image.pinned}"
        assert images.described(api, image.pinned) is not None
        assert pull(api, image.pinned, where.login) == [], "it is there"
    finally:
        remove(api, image.pinned)
    unknown = f"{where.address}/team/redis@sha256:{'0' * 64}"
    with pytest.raises(TargetError, match=r"it could not be pulled: .*(not found|unknown|no basic auth)") as caught:
        pull(api, unknown, None)
    assert caught.value.path == unknown


def test_how_far_a_pull_is() -> None:
    layers, mebibyte = images.Layers(), 1024 * 1024
    events: list[dict[str, Any]] = [
        {"status": "Pulling from team/redis", "id": "7"},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 2 * mebibyte, "total": 8 * mebibyte}},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 2 * mebibyte + 9, "total": 8 * mebibyte}},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 0, "total": 4 * mebibyte}},
        {"status": "Download complete", "id": "a"},
    ]
    told = [layers.text for event in events if layers.take(event)]
    assert told == ["2 of 8 MiB", "2 of 12 MiB", "8 of 12 MiB"]


class Broken:
    """An engine whose pull ends half-way."""

    def inspect_image(self, name: str) -> None:
        raise NotFound(name)

    def pull(self, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        yield {"status": "Downloading", "id": "a", "progressDetail": {"current": 3 << 20, "total": 8 << 20}}
        yield {"error": "write /var/lib/docker/tmp/x: no space left on device"}


def test_a_pull_that_ends_half_way_says_how_far_it_was() -> None:
    with pytest.raises(TargetError, match=r"could not be pulled, 3 of 8 MiB: write .* no space left on device"):
        pull(Broken(), "team/redis@sha256:00", None)


@pytest.mark.parametrize("login", [None, {"username": "keeper", "password": "wrong"}])
def test_without_the_registrys_login_the_setting_is_named(
    api: Any, private: tuple[Registry, Pushed], login: dict[str, str] | None
) -> None:
    with pytest.raises(TargetError, match="its registry does not provide it") as caught:
        pin(api, private[1].reference, policy=images.ALWAYS, login=login)
    assert "circlepay:docker.registries" in caught.value.hint


def test_a_tag_that_the_registry_does_not_have(api: Any, private: tuple[Registry, Pushed]) -> None:
    with pytest.raises(TargetError, match="its registry does not provide it"):
        pin(api, f"{private[0].address}/team/redis:8", login=private[0].login)
