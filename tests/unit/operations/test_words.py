"""Whoever asks for Korean reads Korean where they look first; programs read the same as ever."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from string import Formatter

import pytest
from rich.cells import cell_len

from infra.operations import display, down
from infra.operations.stack import StackView
from infra.operations.status import Status
from infra.operations.summary import Summary
from infra.operations.words import KOREAN, words
from tests.unit.operations.test_display import DOWN, FILE, UP, VERIFIED, shown

OPERATIONS = Path(display.__file__).parent
TREES = [ast.parse(path.read_text()) for path in OPERATIONS.glob("*.py") if path.name != "words.py"]


@pytest.fixture
def korean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name)


def test_every_translation_is_used_and_every_sentence_has_one() -> None:
    nodes = [node for tree in TREES for node in ast.walk(tree)]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    # Pulumi's word for a run that goes on, which reaches the summary as it is.
    assert KOREAN.keys() - texts <= {"in-progress"}
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) in {"words", "_label"}]
    said = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert len(said) > 20
    assert said - KOREAN.keys() == set()


@pytest.mark.parametrize("sentence", KOREAN)
def test_translations_have_the_same_placeholders(sentence: str) -> None:
    assert placeholders(KOREAN[sentence]) == placeholders(sentence)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "없음"),
        ({"LANG": "ko"}, "없음"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ko_KR"}, "없음"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}, "none"),
        ({"LANG": "kok_IN"}, "none"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": ""}, "없음"),
        ({}, "none"),
    ],
)
def test_the_first_variable_that_is_set_decides(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert words("none") == expected


def test_what_is_no_template_may_hold_braces(korean: None) -> None:
    assert words("refused: {odd}") == "refused: {odd}"


def test_status_in_korean_keeps_its_columns(korean: None) -> None:
    found = Status("test", (UP, DOWN), FILE, (), VERIFIED)
    text = shown(display.status, found)
    for expected in ("env 파일", "120개 통과", "그 주소에서 수신하는 것이 없습니다", "`make up STACK=test`이"):
        assert expected in text
    lines = text.splitlines()
    starts = [("127.0.0.1", 0), ("127.0.0.1", 1), (FILE.path, 2), ("120", 3), ("없음", 4)]
    assert {cell_len(lines[line].partition(value)[0]) for value, line in starts} == {12}
    assert found.as_dict()["servers"][1]["problem"] == "nothing is listening there"


def test_summary_in_korean_and_its_json_in_english(korean: None, view: StackView) -> None:
    found = Summary(view, "up", "succeeded", 9, ())
    text = shown(display.summary, found)
    for expected in (
        "`up` 성공, 9초",
        "만들거나 바꾼 것",
        "모든 것이 선언한 대로였습니다",
        "다음 명령",
        "바깥에서 전부",
    ):
        assert expected in text
    assert not any("가" <= letter <= "힣" for letter in display.as_json(found.as_dict()))


def test_down_joins_what_it_names_in_korean(korean: None) -> None:
    assert down.in_words(["A", "B", "C"]) == "A, B, C"


def test_a_locale_without_the_letters_does_not_end_the_command() -> None:
    code = "from infra import cli; cli.run = lambda arguments: print('✓ 없음') or 0; cli.main([])"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(OPERATIONS.parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "? ??\n")
