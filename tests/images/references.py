"""The images that tests run on, by product and major version; `python -m tests.images.references` prints them, one a line.

Stand-ins, which tests/images/ makes of the distribution's packages, because not every machine can pull an image; with
CI_OFFICIAL_IMAGES=1 the official ones.
"""

from __future__ import annotations

import os

OFFICIAL_BY = "CI_OFFICIAL_IMAGES"

OFFICIAL = {
    ("postgres", 15): "postgres:15",
    ("postgres", 17): "postgres:17",
    ("redis", 7): "redis:7-alpine",
    ("redis", 8): "redis:8",
}
STAND_INS = {(product, major): f"circlepay-stand-in/{product}:{major}" for product, major in OFFICIAL}


def official() -> bool:
    """Whether tests run on the official images here."""
    return os.environ.get(OFFICIAL_BY) == "1"


def references() -> dict[tuple[str, int], str]:
    """What to ask the engine for, by product and major version."""
    return OFFICIAL if official() else STAND_INS


def reference(product: str, major: int) -> str:
    """The image of a product at a major version; KeyError where tests have none."""
    return references()[product, major]


if __name__ == "__main__":
    print(*references().values(), sep="\n")
