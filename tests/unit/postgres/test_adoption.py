"""A database built by hand from the document is taken over; one that differs is not."""

from __future__ import annotations

import pytest

from infra.errors import CatalogError
from tests.support.live_servers import MIGRATIONS
from tests.unit.postgres.conftest import Stage

ADOPT = {"database": {"adopt": True}, "role": {"adopt": True}}


@pytest.fixture
def built(bare: Stage) -> Stage:
    """The document's statements run by hand, its role and grants with them."""
    role = bare.objects.role.name
    bare.run(f"CREATE DATABASE {bare.name} TEMPLATE template0", database="postgres")
    bare.run((MIGRATIONS / "0001_baseline.sql").read_text(encoding="utf-8"))
    bare.run(
        f"CREATE USER {role} WITH PASSWORD 'your_secure_password'",
        f"GRANT CONNECT ON DATABASE {bare.name} TO {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT ALL PRIVILEGES ON ALL SEQUENCES IN SCHEMA public TO {role}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {role}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO {role}",
        "INSERT INTO users (email, first_name, last_name, country_code) VALUES ('kept', 'A', 'B', 'KR')",
    )
    return bare


def _migrations(stage: Stage) -> list[str]:
    changes = stage.apply(**ADOPT).changes
    assert stage.plan().changes == (), "once adopted, it is ours without the setting"
    assert stage.ask("SELECT email FROM users") == "kept"
    return [f"{change.action} {change.subject}" for change in changes if change.subject.startswith("migration ")]


def test_it_is_left_alone_without_the_setting(built: Stage) -> None:
    for attempt in (built.plan, built.apply):
        with pytest.raises(CatalogError, match="was not made by this project"):
            attempt()
    assert built.ask("SELECT to_regnamespace('circlepay')") is None


def test_it_is_recorded_at_the_baseline_and_upgraded(built: Stage) -> None:
    preview = [f"{change.action} {change.subject}" for change in built.plan(**ADOPT).changes]
    assert f"adopt database {built.name}" in preview
    done = _migrations(built)
    assert done == ["adopt migration 0001_baseline", "apply migration 0002_transactions_currency_width"]
    assert [line for line in preview if " migration " in line] == done
    with built.as_application() as connection:
        connection.execute("SELECT * FROM users")


def test_one_whose_currency_was_widened_by_hand_is_recorded_at_the_second(built: Stage) -> None:
    built.run("ALTER TABLE transactions ALTER COLUMN currency TYPE varchar(10)")
    assert _migrations(built) == ["adopt migration 0001_baseline", "adopt migration 0002_transactions_currency_width"]


def test_what_can_be_put_back_does_not_stand_in_the_way(built: Stage) -> None:
    built.run("DROP INDEX idx_users_kyc_status", "DROP TRIGGER update_users_updated_at ON users")
    changes = [f"{change.action} {change.subject}" for change in built.apply(**ADOPT).changes]
    assert "create index public.idx_users_kyc_status" in changes
    assert "create trigger public.users.update_users_updated_at" in changes
    assert built.plan().changes == ()


def test_one_that_differs_is_refused_with_all_that_differs(built: Stage) -> None:
    built.run("ALTER TABLE users DROP COLUMN pin_hash", "ALTER TABLE wallets ALTER COLUMN chain_name TYPE text")
    with pytest.raises(CatalogError) as caught:
        built.apply(**ADOPT)
    assert "column public.users.pin_hash is missing" in caught.value.cause
    assert "column public.wallets.chain_name is text" in caught.value.cause
    assert built.ask("SELECT to_regnamespace('circlepay')") is None, "nothing was recorded"
    assert (
        built.ask("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()")
        is None
    )


def test_an_empty_database_made_for_us_is_filled(bare: Stage) -> None:
    bare.run(f"CREATE DATABASE {bare.name} TEMPLATE template0", database="postgres")
    changes = [f"{change.action} {change.subject}" for change in bare.apply(**ADOPT).changes]
    assert f"adopt database {bare.name}" in changes
    assert "apply migration 0001_baseline" in changes
    assert bare.plan().changes == ()
