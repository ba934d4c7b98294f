"""The private registry of tests: nothing is given or taken without its login, and a tag has a digest there."""

from __future__ import annotations

import io
import re
import secrets
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import psutil
import pytest
from docker.errors import APIError, ImageNotFound

from tests.support import registry as registries
from tests.support.registry import Registry

REFUSED = re.compile("unauthorized|no basic auth")


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with registries.registry() as made:
        yield made


@pytest.fixture
def image(api: docker.APIClient) -> Iterator[str]:
    """A local image of one small file that no other image has."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        unique = secrets.token_bytes(16)
        entry = tarfile.TarInfo("unique")
        entry.size = len(unique)
        archive.addfile(entry, io.BytesIO(unique))
    name = f"circlepay-test/{secrets.token_hex(4)}:1"
    repository, _, tag = name.partition(":")
    api.import_image_from_data(content.getvalue(), repository=repository, tag=tag)
    yield name
    registries.remove(api, name)


@pytest.mark.parametrize("login", [{}, {"username": "keeper", "password": "wrong"}], ids=["without", "wrong"])
def test_nothing_is_given_or_taken_without_the_login(
    api: docker.APIClient, registry: Registry, image: str, login: dict[str, str]
) -> None:
    with registries.pushed(api, image, registry, "team/guarded:7") as there:
        with pytest.raises(APIError, match=REFUSED):
            api.inspect_distribution(there.reference, auth_config=login or None)
        with pytest.raises(APIError, match=REFUSED):
            api.pull(there.pinned, auth_config=login or None)
        with pytest.raises(AssertionError, match=REFUSED):
            registries.push(api, f"{registry.address}/team/guarded", "7", login)


def test_the_engine_is_left_without_its_names(api: docker.APIClient, registry: Registry, image: str) -> None:
    with registries.pushed(api, image, registry, "team/named:7") as there:
        assert api.inspect_image(there.reference)["RepoDigests"]
    with pytest.raises(ImageNotFound):
        api.inspect_image(there.reference)
    assert api.inspect_image(image)


def test_it_is_on_loopback_and_ends_with_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = {child.pid for child in psutil.Process().children()}
    with registries.registry() as made:
        (process,) = (child for child in psutil.Process().children() if child.pid not in before)
        heard = [link.laddr for link in process.net_connections("tcp") if link.status == psutil.CONN_LISTEN]
        assert [f"{address.ip}:{address.port}" for address in heard] == [made.address]
    assert not process.is_running()
    assert list(tmp_path.iterdir()) == []


def test_one_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    monkeypatch.setattr(registries, "free_port", lambda: int(registry.address.rpartition(":")[2]))
    with pytest.raises(AssertionError, match="address already in use"), registries.registry():
        pass


def test_its_password_is_shown_by_nobody(registry: Registry) -> None:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert registry.password not in listed.stdout
    assert registry.password not in repr(registry)
