"""Redaction: no remembered secret leaves in any spelling this package prints."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote

import pytest

from infra import redaction
from infra.redaction import MASK, RedactingFilter, redact, remember

SECRET = 'a"secret/with?marks&more~'


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_seen", set())


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        quote(SECRET, safe="").replace("~", "%7E"),
        json.dumps(SECRET)[1:-1],
    ],
)
def test_every_spelling_is_masked(spelled: str) -> None:
    assert redact(f"before {spelled} after") == f"before {spelled} after"
    assert redact(f"before {spelled} after", [SECRET]) == f"before {MASK} after"
    remember(SECRET)
    assert redact(f"before {spelled} after") == f"before {MASK} after"


def test_named_secrets_are_masked_with_the_remembered_ones_and_not_remembered() -> None:
    remember("remembered")
    assert redact("remembered, named and p", ["named", "p", ""]) == f"{MASK}, {MASK} and {MASK}"
    assert redact("remembered, named and p") == f"{MASK}, named and p"


def test_the_percent_encoded_shapes() -> None:
    assert redact("a p@ss/word, p%40ss%2Fword and p%40ss/word", ["p@ss/word"]) == "a [secret], [secret] and [secret]"
    assert redact("nothing to hide", ["", "secret"]) == "nothing to hide"


def test_a_secret_inside_another_leaves_no_part_of_it() -> None:
    remember("abcdefgh")
    remember("abcdefgh-and-more")
    assert redact("abcdefgh-and-more") == MASK


def test_short_words_are_not_masked() -> None:
    remember("true")
    assert redact("it is true") == "it is true"


def test_log_records_are_masked_with_arguments_and_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    remember(SECRET)
    logger = logging.getLogger("circlepay.test")
    logger.addFilter(RedactingFilter())
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("could not use %s", SECRET)
    assert SECRET not in caplog.text
    assert caplog.text.count(MASK) == 2
