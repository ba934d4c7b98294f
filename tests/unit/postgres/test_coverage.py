"""Every catalog that the servers have is in docs/drift.md: mended, reported, or not looked at with a reason."""

from __future__ import annotations

import re

from infra.paths import PROJECT_ROOT
from tests.unit.postgres.conftest import Stage

ROW = re.compile(r"\| `(pg_\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]*) \|")
CATALOGS = """
SELECT array_agg(relname::text) FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
"""


def test_every_catalog_is_listed_and_none_besides(finished: Stage) -> None:
    rows = {row[0]: row for row in ROW.findall((PROJECT_ROOT / "docs" / "drift.md").read_text(encoding="utf-8"))}
    assert rows.keys() == set(finished.ask(CATALOGS))
    for name, _, answer, reason in rows.values():
        assert re.match("mended|reported|not looked at", answer), name
        assert reason.strip() or not answer.startswith("not looked at"), name


def test_objects_of_rare_kinds_are_reported(stage: Stage) -> None:
    stage.run(
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE EVENT TRIGGER refusing ON ddl_command_start EXECUTE FUNCTION refuse()",
        "CREATE STATISTICS by_hand ON email, phone FROM users",
    )
    found = {item.subject for item in stage.plan().findings}
    assert {"publication everything", "event trigger refusing", "statistics object public.by_hand"} <= found
