"""tests/images/contract.sh: every image that tests run on follows the official images' contract; a broken one is seen."""

from __future__ import annotations

import io
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import pytest
from docker.errors import ImageNotFound

from tests.images import references as test_images
from tests.support import registry
from tools.paths import ROOT

SCRIPT = ROOT / "tests" / "images" / "contract.sh"


def _image(api: docker.APIClient, product: str, major: int) -> str:
    reference = test_images.reference(product, major)
    try:
        api.inspect_image(reference)
    except ImageNotFound:
        pytest.skip(f"needs the image {reference}: as root, tools/prepare-ci-machine.sh")
    return reference


def _tried(image: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(SCRIPT), image], capture_output=True, text=True, check=False, timeout=240)


def _failed(run: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.removeprefix("not ok - ") for line in run.stdout.splitlines() if line.startswith("not ok - ")]


@pytest.mark.parametrize(("product", "major"), list(test_images.OFFICIAL))
def test_an_image_of_the_tests_follows_the_contract(api: docker.APIClient, product: str, major: int) -> None:
    run = _tried(_image(api, product, major))
    assert (run.returncode, _failed(run), run.stderr) == (0, [], "")
    assert run.stdout.count("\n") > 15


@contextmanager
def _changed(api: docker.APIClient, image: str, instruction: str) -> Iterator[str]:
    """The image with one more instruction, in a Dockerfile's words; removed at the end."""
    name = f"circlepay-test/{secrets.token_hex(4)}:1"
    recipe = io.BytesIO(f"FROM {image}\n{instruction}\n".encode())
    lines = api.build(fileobj=recipe, tag=name, rm=True, forcerm=True, network_mode="none", decode=True)
    assert [line["error"] for line in lines if "error" in line] == []
    try:
        yield name
    finally:
        registry.remove(api, name)


@pytest.mark.parametrize(
    ("product", "instruction", "points"),
    [
        ("redis", "RUN sed -i /^redis:/d /etc/passwd", ["user redis is 999, its group 999 or 1000"]),
        ("redis", "STOPSIGNAL SIGKILL", ["is stopped by SIGTERM", "stops cleanly"]),
        ("redis", "VOLUME /elsewhere", ["declares no volume but /data"]),
        (
            "redis",
            'ENTRYPOINT ["env"]',
            ["starts by docker-entrypoint.sh", "the server is the first process, and not root"],
        ),
        ("redis", "USER 999", ["another command runs as it is, as root"]),
        ("postgres", "ENV LANG=C.UTF-8", ["speaks UTF-8 English", "databases are in en_US.utf8"]),
    ],
)
def test_an_image_that_breaks_it_is_seen(
    api: docker.APIClient, product: str, instruction: str, points: list[str]
) -> None:
    image = _image(api, product, {"redis": 7, "postgres": 17}[product])
    with _changed(api, image, instruction) as broken:
        run = _tried(broken)
        assert broken not in [container["Image"] for container in api.containers(all=True)]
    assert run.returncode == 1
    assert set(points) <= set(_failed(run))
    assert f"{len(_failed(run))} points do not hold" in run.stderr


def test_one_that_is_not_there_cannot_be_tried(api: docker.APIClient) -> None:
    run = _tried("circlepay-test/absent:1")
    assert (run.returncode, run.stdout) == (2, "")
    assert "no such image" in run.stderr
