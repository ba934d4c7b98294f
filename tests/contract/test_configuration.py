"""Wrong settings through `pulumi preview`: the message names the field and what would be right, nothing is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.targets.clones import clone_id
from tests.contract.conftest import WHEELS, standing
from tests.support.clones import Clone

WRONG: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("port out of range", {"circlepay:postgres": {"port": 70000}}, ("circlepay:postgres.port", "65535")),
    ("port is a word", {"circlepay:redis": {"port": "six"}}, ("circlepay:redis.port", "integer")),
    ("unknown setting", {"circlepay:redis": {"maxmemry": "1gb"}}, ("circlepay:redis.maxmemry", "maxmemory")),
    ("unknown section", {"circlepay:postgress": {"port": 5432}}, ("circlepay:postgress", "postgres")),
    (
        "unknown policy",
        {"circlepay:redis": {"maxmemoryPolicy": "lru"}},
        ("circlepay:redis.maxmemoryPolicy", "allkeys-lru"),
    ),
    ("memory without unit it knows", {"circlepay:redis": {"maxmemory": "256 MiB"}}, ("circlepay:redis.maxmemory",)),
    ("short password", {"circlepay:redis": {"password": "short"}}, ("circlepay:redis.password", "16")),
    ("example password", {"circlepay:application": {"secretKey": "your_super_secret_key_here"}}, ("secretKey",)),
    (
        "entity secret is no hex",
        {"circlepay:application": {"circleEntitySecret": "z" * 64}},
        ("circlepay:application.circleEntitySecret", "64"),
    ),
    ("unquoted identifier", {"circlepay:postgres": {"database": "Circle-Pay"}}, ("circlepay:postgres.database",)),
    (
        "production with debug",
        {
            "circlepay:application": {
                "environment": "production",
                "debug": True,
                "circleSandboxApiKey": "TEST_API_KEY:1f8e2c:77b1",
                "circleEntitySecret": "0123456789abcdef" * 4,
            }
        },
        ("circlepay:application.debug", "false"),
    ),
    (
        "production without Circle's secrets",
        {"circlepay:application": {"environment": "production"}},
        ("circleEntitySecret",),
    ),
    (
        "public address",
        {"circlepay:postgres": {"listenAddress": "0.0.0.0"}},
        ("circlepay:postgres.listenAddress", "127.0.0.1"),
    ),
)


@pytest.fixture(scope="module")
def previewed(workplace: Path) -> Iterator[Clone]:
    """A clone that is only ever previewed."""
    with standing(WHEELS, workplace) as clone:
        yield clone


@pytest.mark.parametrize(("config", "expected"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_setting_ends_the_preview(previewed: Clone, config: dict[str, Any], expected: tuple[str, ...]) -> None:
    own = dict(previewed.config)
    try:
        previewed.config = {**own, **config}
        previewed.configure()
        run = previewed.pulumi("preview", "--stack", previewed.stack)
    finally:
        previewed.config = own
        previewed.configure()
    assert run.code != 0
    for text in expected:
        assert text in run.output
    assert "Traceback" not in run.output
    assert not (Path(own["circlepay:processes"]["dataDirectory"]) / clone_id(previewed.root)).exists()
    assert not (previewed.root / ".env.local").exists()


@pytest.mark.parametrize("stack", ["prod"])
def test_stacks_that_are_not_built_yet_say_so_in_one_sentence(workplace: Path, stack: str) -> None:
    clone = Clone.make(workplace, stack=stack)
    clone.config = {}
    try:
        committed = (Path(__file__).resolve().parents[2] / f"Pulumi.{stack}.yaml").read_text()
        clone.stack_file.write_text(committed)
        run = clone.pulumi(
            "preview",
            "--stack",
            stack,
            environment={"PULUMI_CONFIG_PASSPHRASE_FILE": str(clone.root / ".circlepay" / "passphrase")},
        )
        assert run.code != 0
        assert "is not built yet" in run.output
        assert "Traceback" not in run.output
    finally:
        clone.end()
