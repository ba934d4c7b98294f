"""Every section of the CIS Docker Benchmark on images and containers has a test that exists, or a written reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "container-hardening.md"
SECTIONS = [*(f"4.{number}" for number in range(1, 13)), *(f"5.{number}" for number in range(1, 33))]
"""As versions 1.6 and 1.7 of the benchmark count them."""
TEST = re.compile(r"`((?:infra|tests)/[\w/]+\.py)::(test_\w+)`")
SHORTEST_REASON = 20
"""Characters: less is no reason."""


class Row(NamedTuple):
    """A section: what it asks for, the tests named, and the reason."""

    section: str
    asks: str
    tests: str
    reason: str


def rows(text: str) -> list[Row]:
    """The rows of the page's tables."""
    lines = re.findall(r"^\| *(\d+\.\d+) *\|(.*)\|$", text, re.MULTILINE)
    return [Row(section, *(cell.strip() for cell in rest.split("|"))) for section, rest in lines]


def problems(found: list[Row]) -> list[str]:
    """What is wrong with them."""
    sections = [row.section for row in found]
    wrong = [f"{section}: no row" for section in SECTIONS if section not in sections]
    wrong += [f"{row.section}: not a section, or twice" for row in found if sections.count(row.section) > 1]
    wrong += [f"{section}: not a section, or twice" for section in sections if section not in SECTIONS]
    for row in found:
        named = TEST.findall(row.tests)
        wrong += [f"{row.section}: there is no {path}::{test}" for path, test in named if not exists(path, test)]
        left = TEST.sub("", row.tests).strip(" ,")
        if left:
            wrong.append(f"{row.section}: {left} is not a test")
        if not named and len(row.reason) < SHORTEST_REASON:
            wrong.append(f"{row.section}: neither a test nor a reason")
        if not row.asks:
            wrong.append(f"{row.section}: what does it ask for?")
    return wrong


def exists(path: str, test: str) -> bool:
    """Whether there is such a test."""
    file = ROOT / path
    return file.is_file() and re.search(rf"^def {test}\(", file.read_text(encoding="utf-8"), re.MULTILINE) is not None


def test_every_section_has_a_test_or_a_reason() -> None:
    assert problems(rows(PAGE.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (r"^\| 4\.12 .*$", "", "4.12: no row"),
        (r"^\| 5\.32 .*$", "", "5.32: no row"),
        (r"^\| 5\.1 (.*)$", r"| 5.33 \1", "5.33: not a section, or twice"),
        (r"^\| 5\.2 (.*)$", r"| 5.3 \1", "5.3: not a section, or twice"),
        (r"^(\| 4\.3 .*\|)[^|]*\|$", r"\1 |", "4.3: neither a test nor a reason"),
        (r"^(\| 4\.3 .*\|)[^|]*\|$", r"\1 Not ours. |", "4.3: neither a test nor a reason"),
        (
            r"::test_not_privileged",
            "::test_privileged",
            "5.5: there is no infra/targets/docker/checks/test_containers.py::test_privileged",
        ),
        (
            r"infra/targets/docker/checks/test_containers.py::test_not_privileged",
            "tests/none.py::test_it",
            "5.5: there is no tests/none.py::test_it",
        ),
        (
            r"`infra/targets/docker/checks/test_containers.py::test_not_privileged`",
            "by eye",
            "5.5: by eye is not a test",
        ),
        (r"^\| 5\.5 \|[^|]*\|", "| 5.5 | |", "5.5: what does it ask for?"),
    ],
)
def test_a_page_with_a_gap_is_noticed(old: str, new: str, problem: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    broken = re.sub(old, new, text, count=1, flags=re.MULTILINE)
    assert broken != text
    assert problem in problems(rows(broken))


def test_no_image_is_built_from_a_dockerfile() -> None:
    found = [path for path in ROOT.rglob("*") if re.fullmatch(r"(?i)(docker|container)file(\..*)?", path.name)]
    installed = {".venv", ".circlepay", ".ci-caches"}  # other people's packages
    assert [path for path in found if not installed & set(path.parts) and path.suffix != ".py"] == []


def execs(text: str) -> list[ast.Call]:
    """Every call that makes an exec in a container."""
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return [
        call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in ("exec_create", "exec_run")
    ]


def is_harmless(call: ast.Call) -> bool:
    """Whether it says who it runs as, does not say root, and asks for no privileges."""
    given = {word.arg: word.value for word in call.keywords}
    user = given.get("user")
    said = user.value if isinstance(user, ast.Constant) else "somebody"
    return user is not None and said not in ("root", "0", "0:0", 0) and "privileged" not in given


def test_no_exec_is_privileged_or_roots() -> None:
    """Of the package and of its verification, which both run on real stacks."""
    calls = {path: execs(path.read_text(encoding="utf-8")) for path in (ROOT / "infra").rglob("*.py")}
    assert any(calls.values())
    wrong = {path.name: [call.lineno for call in found if not is_harmless(call)] for path, found in calls.items()}
    assert {name: lines for name, lines in wrong.items() if lines} == {}


@pytest.mark.parametrize(
    ("call", "harmless"),
    [
        ("api.exec_create(name, argv, user=user)", True),
        ("api.exec_create(name, argv)", False),
        ("api.exec_create(name, argv, user='root')", False),
        ("api.exec_create(name, argv, user=user, privileged=True)", False),
    ],
)
def test_an_exec_that_may_do_more_is_noticed(call: str, harmless: bool) -> None:
    assert [is_harmless(each) for each in execs(call)] == [harmless]
