"""How a weak secret is told from a strong one: what people type is repetitive or known."""

from __future__ import annotations

EXAMPLE_VALUES = frozenset(
    {
        "password",
        "your_secure_password",
        "your_redis_password_here",
        "your_super_secret_key_here",
        "your_jwt_secret_key_here",
        "your_circle_sandbox_api_key",
        "your_32_byte_entity_secret",
        "changeme",
        "secret",
    }
)
"""The document's example values and the classics: never a secret."""

MINIMUM_DIFFERENT_CHARACTERS = 8
"""Of 32 random hexadecimal digits fewer than 8 different ones is a chance below one in ten thousand."""

MINIMUM_UNCOMMON_CHARACTERS = 12
"""Characters that must be left once common words and keyboard sequences are taken out."""

COMMON_WORDS = (
    "circlepay_user", "circlepay", "postgresql", "postgres", "password", "production", "development", "database",
    "changeme", "iloveyou", "trustno1", "letmein", "welcome", "sunshine", "princess", "football", "baseball", "qwerty",
    "example", "dragon", "monkey", "master", "shadow", "secure", "secret", "circle", "default", "entity", "redis",
    "admin", "login", "super", "token", "user", "root", "test", "pass", "your", "here", "jwt", "key", "api",
)  # fmt: skip

SEQUENCES = (
    "qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890", "0123456789", "abcdefghijklmnopqrstuvwxyz", "1qaz2wsx3edc4rfv",
)  # fmt: skip
"""Rows of keys and alphabets; four neighbours of one, in either direction, count as a sequence."""

_SEQUENCE_LENGTH = 4
_LOOKALIKES = str.maketrans("013457@$!", "oleastasi")


def weakness(secret: str) -> str:
    """Why the secret is easy to guess, as the end of a sentence that starts with its name; empty when it is not."""
    if secret.casefold() in EXAMPLE_VALUES:
        return "is an example value"
    different = len(set(secret))
    if different < MINIMUM_DIFFERENT_CHARACTERS:
        return f"has only {different} different characters, {MINIMUM_DIFFERENT_CHARACTERS} are the least"
    if _repeats(secret):
        return "repeats itself"
    if (
        min(_uncommon(secret.casefold()), _uncommon(secret.casefold().translate(_LOOKALIKES)))
        < MINIMUM_UNCOMMON_CHARACTERS
    ):
        return "is made of common words or keyboard sequences"
    return ""


def _repeats(secret: str) -> bool:
    return any(
        all(character == secret[index % period] for index, character in enumerate(secret))
        for period in range(1, len(secret) // 2 + 1)
    )


def _uncommon(text: str) -> int:
    """How many characters belong neither to a common word, nor to a sequence, nor to a run of the same character."""
    for word in COMMON_WORDS:
        text = text.replace(word, "\0")
    for row in SEQUENCES:
        for line in (row, row[::-1]):
            for start in range(len(line) - _SEQUENCE_LENGTH + 1):
                text = text.replace(line[start : start + _SEQUENCE_LENGTH], "\0")
    return sum(
        character.isalnum() and (index == 0 or text[index - 1] != character) for index, character in enumerate(text)
    )
