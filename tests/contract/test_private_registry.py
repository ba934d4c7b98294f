"""An image of a private registry: pulled with its login, pinned by digest, and moved only when that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.conftest import DOCKER, standing
from tests.images import references as test_images
from tests.support import engine
from tests.support.clones import Clone
from tests.support.live import LiveStack
from tests.support.registry import Pushed, Registry, push, pushed, registry, remove

NAME = "team/redis:stable"


@pytest.fixture(scope="module")
def private() -> Iterator[tuple[Registry, Pushed]]:
    if missing := engine.absent([("redis", 7), ("redis", 8)]):
        pytest.skip(f"needs {missing}")
    with registry() as found, pushed(engine.client(), test_images.reference("redis", 7), found, NAME) as image:
        # From now on only the registry knows what the tag means.
        remove(engine.client(), image.reference)
        yield found, image


@pytest.fixture(scope="module")
def stack(private: tuple[Registry, Pushed], workplace: Path) -> Iterator[LiveStack]:
    """A stack that is up, with Redis from the registry."""
    where, image = private
    with standing(DOCKER, workplace) as clone:
        own = {**clone.config["circlepay:docker"], "redisImage": image.reference, "registries": [_login(where)]}
        clone.configure(docker=own)
        _keep_secret(clone, where.password)
        try:
            clone.up().expect()
            yield LiveStack(clone)
        finally:
            remove(engine.client(), image.pinned)


def _keep_secret(clone: Clone, password: str) -> None:
    """The password encrypted in the stack's file, as the documentation says to set it."""
    path = ("--path", "circlepay:docker.registries[0].password")
    clone.pulumi("config", "set", "--secret", "--stack", clone.stack, *path, password).expect()
    clone.config = yaml.safe_load(clone.stack_file.read_text())["config"]


def _login(where: Registry) -> dict[str, str]:
    return {"address": where.address, "username": where.username, "password": where.password}


def pins(stack: LiveStack) -> dict[str, Any]:
    exported = json.loads(stack.clone.pulumi("stack", "export", "--stack", stack.clone.stack).expect().output)
    resources = exported["deployment"]["resources"]
    return {each["id"]: each["outputs"] for each in resources if each["type"] == "circlepay:index:ImagePin"}


def redis_container(stack: LiveStack) -> dict[str, Any]:
    found: dict[str, Any] = engine.client().inspect_container(stack.outputs["redis"]["location"]["names"]["container"])
    return found


def test_the_registrys_digest_is_what_runs(stack: LiveStack, private: tuple[Registry, Pushed]) -> None:
    assert pins(stack)["redis"]["pinned"] == private[1].pinned
    image = engine.client().inspect_image(redis_container(stack)["Image"])
    assert private[1].pinned in image["RepoDigests"]
    assert set(stack.clone.up_counts()) == {"same"}


def test_the_registrys_password_is_in_no_plain_text_of_the_state(
    stack: LiveStack, private: tuple[Registry, Pushed]
) -> None:
    exported = stack.clone.pulumi("stack", "export", "--stack", stack.clone.stack).expect().output
    files = [path for path in (stack.clone.root / ".circlepay" / "state").rglob("*") if path.is_file()]
    texts = [exported, *(path.read_text(errors="replace") for path in files)]
    assert not any(private[0].password in text for text in texts)


def test_a_tag_moves_only_when_it_is_asked_for_and_data_survives(
    stack: LiveStack, private: tuple[Registry, Pushed]
) -> None:
    where, image = private
    api = engine.client()
    with stack.as_cache_client() as client:
        client.set("kept", "yes")
    before = redis_container(stack)
    repository, _, tag = image.reference.rpartition(":")
    assert api.tag(test_images.reference("redis", 8), repository, tag)
    moved = push(api, repository, tag, where.login)
    remove(api, image.reference)
    assert set(stack.clone.up_counts()) == {"same"}
    assert redis_container(stack)["Id"] == before["Id"]

    own = dict(stack.clone.config["circlepay:docker"])
    stack.clone.configure(docker={**own, "imagesAsOf": "2026-11-25"})
    try:
        stack.clone.up().expect()
        assert pins(stack)["redis"]["digest"] == moved
        assert redis_container(stack)["Id"] != before["Id"]
        assert stack.fresh().outputs["redis"]["version"].startswith("8.")
        with stack.as_cache_client() as client:
            assert client.get("kept") == "yes"
        assert set(stack.clone.up_counts()) == {"same"}
    finally:
        remove(api, f"{repository}@{moved}")


def test_a_wrong_login_names_the_setting_and_changes_nothing(
    stack: LiveStack, private: tuple[Registry, Pushed]
) -> None:
    where, _ = private
    own = dict(stack.clone.config["circlepay:docker"])
    before = redis_container(stack)
    wrong = {**_login(where), "password": "not-the-password-of-this-registry"}
    stack.clone.configure(docker={**own, "registries": [wrong], "imagesAsOf": "tomorrow", "pullPolicy": "always"})
    try:
        refused = stack.clone.up()
        assert refused.code != 0
        assert "circlepay:docker.registries" in refused.output
        assert "not-the-password" not in refused.output
        assert redis_container(stack)["Id"] == before["Id"]
    finally:
        stack.clone.configure(docker=own)
    stack.clone.up().expect()
