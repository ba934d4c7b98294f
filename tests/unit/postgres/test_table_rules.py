"""Row level security, policies, rules and options of tables, and what belongs to partitions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.postgres import roles
from infra.postgres.migrations import Migration
from tests.unit.postgres.conftest import ROLE, Stage, mended

PARTITIONED = """
CREATE TABLE event (id integer, at integer, user_id integer REFERENCES users (id)) PARTITION BY RANGE (at);
CREATE TABLE event_one PARTITION OF event FOR VALUES FROM (0) TO (10);
CREATE INDEX event_at ON event (at);
ALTER TABLE event ADD CONSTRAINT event_key UNIQUE (id, at);
CREATE TRIGGER event_touched BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TABLE secret_note (owner text);
ALTER TABLE secret_note ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secret_note FOR SELECT USING (owner = CURRENT_USER);
"""


@pytest.mark.parametrize(
    ("statement", "subject"),
    [
        ("ALTER TABLE users ENABLE ROW LEVEL SECURITY", "table public.users"),
        ("ALTER TABLE users FORCE ROW LEVEL SECURITY", "table public.users"),
        ("ALTER TABLE users SET (autovacuum_enabled = off)", "table public.users"),
        ("ALTER TABLE users SET (toast.autovacuum_enabled = off)", "table public.users"),
    ],
)
def test_what_hides_rows_or_tunes_a_table_is_put_back(stage: Stage, statement: str, subject: str) -> None:
    stage.run(statement, "CREATE POLICY nobody ON users USING (false)")
    assert mended(stage) == [f"alter {subject}"]
    assert [item.subject for item in stage.plan().findings if "policy" in item.subject] == [
        "policy public.users.nobody"
    ]


def test_a_rule_by_hand_is_reported(stage: Stage) -> None:
    stage.run("CREATE RULE swallow AS ON INSERT TO users DO INSTEAD NOTHING")
    assert stage.plan().changes == ()
    (found,) = [item for item in stage.plan().findings if item.subject == "rule public.users.swallow"]
    stage.run(found.remedy.partition(", or ")[2])
    assert not [item for item in stage.plan().findings if item.subject == "rule public.users.swallow"]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DROP INDEX event_at", ["create index public.event_at"]),
        ("ALTER TABLE event DROP CONSTRAINT event_key", ["create unique constraint public.event.event_key"]),
        (
            "ALTER TABLE event DROP CONSTRAINT event_user_id_fkey",
            ["create foreign key public.event.event_user_id_fkey"],
        ),
        ("DROP TRIGGER event_touched ON event", ["create trigger public.event.event_touched"]),
        ("DROP POLICY own ON secret_note", ["create policy public.secret_note.own"]),
        ("ALTER POLICY own ON secret_note USING (true)", ["alter policy public.secret_note.own"]),
        ("ALTER TABLE secret_note DISABLE ROW LEVEL SECURITY", ["alter table public.secret_note"]),
    ],
)
def test_what_partitions_and_policies_lost_is_back_after_one_run(
    stage: Stage, statement: str, expected: list[str]
) -> None:
    first = stage.objects.migrations[-1]
    more = replace(first, version=3, name="partitioned", text=PARTITIONED, sha256="0" * 64)
    declared: tuple[Migration, ...] = (*stage.objects.migrations, more)
    stage.apply(migrations=declared)
    stage.run(statement)
    assert mended(stage, migrations=declared) == expected


def test_roles_that_nobody_declared_are_reported(stage: Stage) -> None:
    stage.run("DROP ROLE IF EXISTS second_superuser", "CREATE ROLE second_superuser SUPERUSER LOGIN")
    try:
        with stage.connect() as connection:
            from infra.postgres.catalog import read

            found = {item.subject: item.problem for item in roles.undeclared(read(connection), stage.objects.role)}
    finally:
        stage.run("DROP ROLE second_superuser")
    assert found["role second_superuser"] == "is not declared; it can log in and has SUPERUSER"
    assert f"role {ROLE}" not in found
