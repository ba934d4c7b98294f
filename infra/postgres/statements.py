"""Splits SQL text into its statements, without a server.

Needed where a file cannot be sent as a whole (a migration outside a transaction) and where an error has to be traced to
a line. Like PostgreSQL's own lexer, ignores semicolons in strings, quoted identifiers, dollar quotes, nested comments,
parentheses and the BEGIN ATOMIC bodies of SQL functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<line_comment>--[^\r\n]*)
  | (?P<comment>/\*)
  | (?P<escape_string>[eE]'(?:[^'\\]|\\.|'')*')
  | (?P<string>'(?:[^']|'')*')
  | (?P<identifier>"(?:[^"]|"")*")
  | (?P<dollar>\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$)
  | (?P<word>[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ROUTINE = re.compile(r"create (or replace )?(function|procedure)\b")
_TRANSACTION_CONTROL = frozenset({"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"})


class UnfinishedSqlError(ValueError):
    """The text ends inside a quote or comment; `offset` is where that begins, in characters from 0."""

    def __init__(self, what: str, offset: int) -> None:
        self.what = what
        self.offset = offset
        super().__init__(f"{what} is not closed")


@dataclass(frozen=True)
class Token:
    """kind: space, comment, string, escape_string, identifier, word or other. start: in characters from 0."""

    kind: str
    value: str
    start: int


@dataclass(frozen=True)
class Statement:
    """One statement: its text without the semicolon, and where it begins in the whole text, in characters from 0.

    words: in lower case; what stands in quotes and comments is none.
    """

    text: str
    offset: int
    words: tuple[str, ...] = ()

    @property
    def controls_transaction(self) -> bool:
        """Whether it would end or nest the surrounding transaction (BEGIN, COMMIT, SAVEPOINT and the like)."""
        return self.words[:2] == ("prepare", "transaction") or not _TRANSACTION_CONTROL.isdisjoint(self.words[:1])


def split(text: str) -> list[Statement]:
    """The statements of `text`, comments around them left out. Raises UnfinishedSqlError."""
    return [item for item in read(text) if isinstance(item, Statement)]


def read(text: str) -> Iterator[Token | Statement]:
    """Every token of `text`, and each statement after its last token. Raises UnfinishedSqlError where that begins."""
    start: int | None = None
    end = depth = blocks = 0
    words: list[str] = []
    position = 0
    while position < len(text):
        kind, value, after = _next(text, position)
        yield Token(kind, value, position)
        begin, position = position, after
        if kind in {"space", "comment"}:
            continue
        if kind == "other" and value == ";" and depth == 0 and blocks == 0:
            if start is not None:
                yield Statement(text[start:end], start, tuple(words))
            start, words = None, []
            continue
        start = begin if start is None else start
        end = position
        if kind == "other":
            depth = max(0, depth + (value == "(") - (value == ")"))
        elif kind == "word":
            words.append(value.lower())
            blocks = _blocks_after(blocks, words)
    if start is not None:
        yield Statement(text[start:end], start, tuple(words))


def _next(text: str, position: int) -> tuple[str, str, int]:
    """Kind, text and end of the token at `position`."""
    match = _TOKEN.match(text, position)
    assert match is not None, "the last alternative matches any character"  # noqa: S101
    kind, value = str(match.lastgroup), match.group()
    if kind == "comment":
        end = _end_of_comment(text, position)
        return "comment", text[position:end], end
    if kind == "line_comment":
        return "comment", value, match.end()
    if kind == "dollar":
        closing = text.find(value, match.end())
        if closing < 0:
            raise UnfinishedSqlError(f"the dollar quote {value}", position)
        end = closing + len(value)
        return "string", text[position:end], end
    if kind == "other" and value in "'\"":
        raise UnfinishedSqlError("a string" if value == "'" else "a quoted identifier", position)
    return kind, value, match.end()


def _end_of_comment(text: str, position: int) -> int:
    depth = 0
    for match in re.finditer(r"/\*|\*/", text[position:]):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return position + match.end()
    raise UnfinishedSqlError("a comment", position)


def _blocks_after(blocks: int, words: list[str]) -> int:
    """How many BEGIN ATOMIC and CASE blocks are open after the last word; only routines have them across semicolons."""
    if not _ROUTINE.match(" ".join(words[:4])):
        return 0
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "atomic" and before == "begin":
        return blocks + 1
    if blocks and last == "case" and before != "end":
        return blocks + 1
    if blocks and last == "end":
        return blocks - 1
    return blocks


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of the character at `offset` (from 0)."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
