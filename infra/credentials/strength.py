"""Detects weak secrets: those that people invent are repetitive, or made of common words."""

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
"""Example values of the document and the most common passwords: never accepted."""

MINIMUM_DIFFERENT_CHARACTERS = 8
"""The chance that 32 random hexadecimal digits have fewer than 8 different ones is below one in ten thousand."""

MINIMUM_UNCOMMON_CHARACTERS = 12
"""Characters that must remain after common words and keyboard sequences are removed."""

COMMON_WORDS = (
    "circlepay_user", "circlepay", "postgresql", "postgres", "password", "production", "development", "database",
    "changeme", "iloveyou", "trustno1", "letmein", "welcome", "sunshine", "princess", "football", "baseball", "qwerty",
    "example", "dragon", "monkey", "master", "shadow", "secure", "secret", "circle", "default", "entity", "redis",
    "admin", "login", "super", "token", "user", "root", "test", "pass", "your", "here", "jwt", "key", "api",
)  # fmt: skip

SEQUENCES = (
    "qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890", "0123456789", "abcdefghijklmnopqrstuvwxyz", "1qaz2wsx3edc4rfv",
)  # fmt: skip
"""Keyboard rows and alphabets; any four neighbouring characters, in either direction, count as a sequence."""

_SEQUENCE_LENGTH = 4
_LOOKALIKES = str.maketrans("013457@$!", "oleastasi")


def weakness(secret: str) -> str:
    """Why the secret is easy to guess, as the end of a sentence that starts with its name; empty when it is not."""
    if secret.casefold() in EXAMPLE_VALUES:
        return "is an example value"
    different = len(set(secret))
    if different < MINIMUM_DIFFERENT_CHARACTERS:
        return f"has only {different} different characters, at least {MINIMUM_DIFFERENT_CHARACTERS} are needed"
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
    """Number of characters that belong neither to a common word, nor to a sequence, nor to a run of one character."""
    for word in COMMON_WORDS:
        text = text.replace(word, "\0")
    for row in SEQUENCES:
        for line in (row, row[::-1]):
            for start in range(len(line) - _SEQUENCE_LENGTH + 1):
                text = text.replace(line[start : start + _SEQUENCE_LENGTH], "\0")
    return sum(
        character.isalnum() and (index == 0 or text[index - 1] != character) for index, character in enumerate(text)
    )
