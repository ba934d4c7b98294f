"""Text cut into statements as the server's own lexer would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.postgres.statements import UnfinishedSqlError, line_and_column, split
from tests.support.live_servers import MIGRATIONS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("-- only a comment", []),
        (";;", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT 2", ["SELECT ';'", "SELECT 2"]),
        ("SELECT 'it''s;'; SELECT 2", ["SELECT 'it''s;'", "SELECT 2"]),
        (r"SELECT E'\';'; SELECT 2", [r"SELECT E'\';'", "SELECT 2"]),
        ('SELECT 1 AS "a;""b"; SELECT 2', ['SELECT 1 AS "a;""b"', "SELECT 2"]),
        ("SELECT $$a;b$$; SELECT 2", ["SELECT $$a;b$$", "SELECT 2"]),
        ("SELECT $x$a;$$;b$x$; SELECT 2", ["SELECT $x$a;$$;b$x$", "SELECT 2"]),
        ("SELECT 1 -- a; b\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 /* a; /* b; */ c; */ + 1; SELECT 2", ["SELECT 1 /* a; /* b; */ c; */ + 1", "SELECT 2"]),
        ("SELECT a$1; SELECT 2", ["SELECT a$1", "SELECT 2"]),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3", None),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 3",
            None,
        ),
        ("CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC SELECT 1; END; SELECT 3", None),
    ],
)
def test_statements(text: str, expected: list[str] | None) -> None:
    found = [statement.text for statement in split(text)]
    if expected is None:
        assert found[-1] == "SELECT 3"
        assert len(found) == 2
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("text", "offset"), [("SELECT 'a", 7), ('SELECT "a', 7), ("SELECT $$a", 7), ("a /* b", 2), ("/* /* */", 0)]
)
def test_what_is_not_closed_is_an_error_at_its_beginning(text: str, offset: int) -> None:
    with pytest.raises(UnfinishedSqlError) as caught:
        split(text)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("text", "controls"),
    [
        ("BEGIN", True),
        ("commit", True),
        ("ROLLBACK TO x", True),
        ("PREPARE TRANSACTION 'x'", True),
        ("PREPARE x AS SELECT 1", False),
        ("SELECT 'commit'", False),
        ("CREATE TABLE begin_at (x int)", False),
    ],
)
def test_transaction_control(text: str, controls: bool) -> None:
    assert split(text)[0].controls_transaction is controls


def test_the_baseline_has_as_many_statements_as_the_document() -> None:
    text = (MIGRATIONS / "0001_baseline.sql").read_text(encoding="utf-8")
    assert len(split(text)) == 4 + 22 + 1 + 1 + 3


_PIECES = st.lists(
    st.sampled_from(
        ["SELECT 1", "';'", '"x;"', "$$;$$", "$a$;$a$", "-- ;\n", "/* ; */", " ", "\n", "E'\\';'", "(;)", "x"]
    ),
    max_size=12,
)


@given(_PIECES)
def test_every_statement_stands_where_it_says(pieces: list[str]) -> None:
    text = ";\n".join(pieces)
    for statement in split(text):
        assert text[statement.offset :].startswith(statement.text)
        assert [item.text for item in split(statement.text)] == [statement.text]


@given(st.text(alphabet="ab\n", max_size=30), st.integers(0, 29))
def test_line_and_column(text: str, offset: int) -> None:
    offset = min(offset, len(text))
    line, column = line_and_column(text, offset)
    assert sum(len(item) + 1 for item in text.split("\n")[: line - 1]) + column - 1 == offset
