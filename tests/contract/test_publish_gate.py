"""The env file changes only when everything in it was proven; until then the previous one stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clones import Clone
from tests.support.live import LiveStack


@pytest.mark.once_per_target
def test_a_failing_run_leaves_the_previous_env_file(live: LiveStack) -> None:
    """Each time something before the gate is broken and a new value waits to be published."""
    before = live.env_path.read_text()
    own = dict(live.clone.config.get("circlepay:application", {}))
    migration = live.clone.root / "sql" / "migrations" / "0001_baseline.sql"
    original = migration.read_text()
    try:
        live.clone.configure(application={**own, "logLevel": "ERROR"})
        migration.write_text(original + "\n-- edited after it was applied\n")
        run = live.clone.up()
        assert run.code != 0
        assert "0001_baseline.sql" in run.output
        assert live.env_path.read_text() == before
        migration.write_text(original)
        live.clone.up().expect()
        assert "LOG_LEVEL=ERROR" in live.env_path.read_text()
    finally:
        migration.write_text(original)
        live.clone.configure(application=own)
        live.clone.up().expect()
    assert live.env_path.read_text() == before


@pytest.mark.once_per_target
def test_a_failed_check_of_the_verification_keeps_the_gate_shut(live: LiveStack) -> None:
    """A suite that expects what no `up` makes: the clone's own copy of the page of expectations is edited."""
    before = live.env_path.read_text()
    own = dict(live.clone.config.get("circlepay:application", {}))
    expectations = live.clone.root / "infra" / "verification" / "checks" / "expected.py"
    original = expectations.read_text()
    assert "NEW.updated_at = CURRENT_TIMESTAMP" in original
    try:
        live.clone.configure(application={**own, "logLevel": "ERROR"})
        expectations.write_text(original.replace("NEW.updated_at = CURRENT_TIMESTAMP", "NEW.updated_at = never"))
        with live.as_superuser() as connection:
            connection.execute("DROP INDEX public.idx_users_kyc_status")
        run = live.clone.up()
        assert run.code != 0
        assert "NEW.updated_at = never" in run.output
        assert live.env_path.read_text() == before
    finally:
        expectations.write_text(original)
        live.clone.configure(application=own)
        live.clone.up().expect()
    assert live.env_path.read_text() == before


def test_an_env_file_of_somebody_else_is_not_overwritten(clone: Clone) -> None:
    path = Path(clone.root) / ".env.local"
    path.write_text("DATABASE_URL=mine\n")
    run = clone.up()
    assert run.code != 0
    assert ".env.local" in run.output
    assert path.read_text() == "DATABASE_URL=mine\n"
    path.unlink()
