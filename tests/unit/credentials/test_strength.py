"""Weak secrets are told from strong ones; what this package generates is always strong."""

from __future__ import annotations

import secrets

import pytest

from infra.credentials.generated import generate
from infra.credentials.strength import EXAMPLE_VALUES, weakness


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "different characters"),
        ("abcabcabcabcabcabcabcabc", "different characters"),
        ("abcdefghabcdefghabcdefgh", "repeats itself"),
        ("correct1correct1correct1", "different characters"),
        ("Sn0wfl4ke-Sn0wfl4ke-Sn0w", "repeats itself"),
        ("qwertyuiopasdfghjklzxcvbnm", "common words or keyboard"),
        ("1234567890abcdefghijkl", "common words or keyboard"),
        ("P@ssw0rdP@ssw0rd2024!!", "common words or keyboard"),
        ("circlepay-production-secret-key", "common words or keyboard"),
        ("poiuytrewq0987654321", "common words or keyboard"),
        *[(example, "example") for example in sorted(EXAMPLE_VALUES)],
        ("YOUR_SECURE_PASSWORD", "example"),
    ],
)
def test_weak(secret: str, why: str) -> None:
    assert why in weakness(secret)
    assert secret not in weakness(secret)


def test_generated_secrets_are_strong() -> None:
    assert [weakness(value) for _ in range(300) for value in generate().values()] == [""] * 1500


def test_random_entity_secrets_are_strong() -> None:
    assert [weakness(secrets.token_hex(32)) for _ in range(1000)] == [""] * 1000


@pytest.mark.parametrize("secret", ["correct horse battery staple", "k7#Vq2!xTz9@Lm4$", "Zr8-vT3_mQ5.wK1,"])
def test_strong(secret: str) -> None:
    assert weakness(secret) == ""
