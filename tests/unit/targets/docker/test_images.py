"""Images: what a reference means, and what an image must have to carry a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from infra.errors import TargetError
from infra.targets.docker import images
from infra.targets.docker.images import Image
from tests.images import references as test_images
from tests.support import container_product, engine
from tests.support.registry import Pushed, Registry, pushed, registry

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
