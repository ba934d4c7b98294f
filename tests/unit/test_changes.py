"""How a change is shown: everything a person decides by, nothing that is secret."""

from __future__ import annotations

from psycopg import sql

from infra.changes import Change, Effect, as_dicts, describe


def test_a_line_says_reason_lock_effect_and_whether_it_can_be_taken_back() -> None:
    change = Change(
        "index public.i", "create", "is missing", "SHARE on public.t", Effect.RELOAD, False, sql.SQL("hidden")
    )
    assert describe(change.as_dict()) == (
        "create index public.i — is missing [SHARE on public.t; reload; not reversible]"
    )


def test_statements_and_commands_are_never_shown() -> None:
    change = Change("role r", "alter", "differs", statement=sql.SQL("SECRET"), command=("CONFIG", "SET", "x", "SECRET"))
    assert "SECRET" not in repr(as_dicts([change]))
    assert "SECRET" not in describe(change.as_dict())
