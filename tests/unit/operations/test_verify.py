"""`circlepay verify` on a real stack, its outputs given as Pulumi would give them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from infra.operations import stack as stacks
from infra.operations import verify
from infra.operations.stack import StackError, StackView
from infra.verification.report import Check, Report
from tests.support.verification_stack import Stack, stack

FAILED_CHECK = Check("schema", "index idx", "failed", 0.1, "expected: a\nobserved: b\n-> do that")


@pytest.fixture(scope="module")
def live() -> Iterator[Stack]:
    with stack() as made:
        yield made


@pytest.fixture
def view(live: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackView:
    subject = json.dumps(live.subject.to_json())
    made = StackView("local", tmp_path, {"verificationSubject": subject, "envFile": str(tmp_path / ".env.local")})
    monkeypatch.setattr(stacks, "load", lambda name: made)
    return made


def test_a_good_stack_is_0(view: StackView, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.run("local", None, False) == 0
    printed = capsys.readouterr().out
    assert "checks passed on stack local" in printed
    assert "✓ schema" in printed
    assert "✗" not in printed


def test_a_broken_stack_is_2(view: StackView, live: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    live.sql("DROP INDEX idx_users_kyc_status")
    try:
        assert verify.run("local", None, False) == 2
    finally:
        live.sql("CREATE INDEX idx_users_kyc_status ON users(kyc_status)")
    printed = capsys.readouterr().out
    assert "✗ schema: index idx_users_kyc_status" in printed
    assert "expected: idx_users_kyc_status exists" in printed
    assert "make up" in printed
    assert "1 of " in printed


def test_json_and_junit(view: StackView, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.run("local", tmp_path / "verification.xml", True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["stack"], printed["failed"]) == ("local", 0)
    assert printed["passed"] == len(printed["checks"])
    assert {"group", "name", "outcome", "seconds", "message", "structural"} == set(printed["checks"][0])
    assert "testcase" in (tmp_path / "verification.xml").read_text(encoding="utf-8")


def test_nothing_secret_is_printed(view: StackView, live: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    live.stop("redis")
    try:
        assert verify.run("local", None, True) == 2
    finally:
        live.start("redis")
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert [name for name, secret in live.subject.secrets().items() if secret in printed] == []


def test_the_env_file_is_looked_at_once_it_exists(view: StackView) -> None:
    assert verify.subject_of(view).env_file is None
    view.env_file.touch()
    assert verify.subject_of(view).env_file == str(view.env_file)


@pytest.mark.parametrize("value", [None, "", "{}", "not json", {"target": "processes"}])
def test_outputs_without_a_subject(value: object, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="verificationSubject"):
        verify.subject_of(StackView("local", tmp_path, {"verificationSubject": value, "envFile": "x"}))


def test_a_hundred_failures_for_one_reason_are_one_entry() -> None:
    checks = tuple(Check("redis", f"declared {number}", "failed", 0.0, "refused") for number in range(100))
    console = Console(file=StringIO(), width=80)
    verify.show(console, "local", Report((*checks, FAILED_CHECK), 1.0))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed.count("refused") == 1
    assert "and 97 more" in printed
    assert "101 of 101 checks failed" in printed


def test_a_structural_failure_says_so() -> None:
    console = Console(file=StringIO(), width=80)
    check = Check("schema", "column a.b", "failed", 0.0, "[bold]not markup[/bold]", structural=True)
    verify.show(console, "local", Report((check,), 1.0))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "only a migration" in printed
    assert "[bold]not markup[/bold]" in printed
