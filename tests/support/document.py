"""Everything the document this project started from specifies, taken out of its text mechanically.

Each item is one line: its kind, then what it is. A statement of a kind this module does not know is an error, so that
nothing the document says can be lost in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "source-document.ko.md"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{2,4} (.+)$", re.MULTILINE)
ENV_LINE = re.compile(r"[A-Z_]+=\S+")
SQL_COMMENT = re.compile(r"--.*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block. heading: the last heading above it."""

    language: str
    heading: str
    text: str


def blocks(text: str) -> list[Block]:
    """Every fenced block, in order."""
    headings = [(match.start(), match[1]) for match in HEADING.finditer(FENCE.sub(_blank, text))]
    return [
        Block(match[1], max((item for item in headings if item[0] < match.start()), default=(0, ""))[1], match[2])
        for match in FENCE.finditer(text)
    ]


def _blank(match: re.Match[str]) -> str:
    """As many characters, none of them a heading: comments in shell blocks start with # too."""
    return " " * len(match[0])


def items(text: str) -> list[str]:
    """Every setting, object, query and command, once each, in order. Raises ValueError for what is not understood."""
    found = [item for block in blocks(text) for item in READERS[block.language](block)]
    return list(dict.fromkeys(found))


def statements(text: str) -> list[str]:
    """The SQL statements of a block, without comments; a function's body stays whole."""
    bare = SQL_COMMENT.sub("", text)
    parts = re.findall(r"(?:\$\$.*?\$\$|[^;$]|\$)+", bare, re.DOTALL)
    return [part.strip() for part in parts if part.strip()]


def schema(text: str) -> str:
    """The document's own DDL: tables, indexes, constraints, function and triggers, as one script."""
    wanted = re.compile(r"CREATE (TABLE|INDEX|OR REPLACE FUNCTION|TRIGGER)|ALTER TABLE", re.IGNORECASE)
    found = [part for block in blocks(text) if block.language == "sql" for part in statements(block.text)]
    return ";\n\n".join(part for part in found if wanted.match(part)) + ";\n"


def _sql(block: Block) -> Iterator[str]:
    for statement in statements(block.text):
        line = " ".join(statement.split())
        for pattern, read in STATEMENTS:
            match = re.match(pattern, line, re.IGNORECASE)
            if match:
                yield from read(match, statement)
                break
        else:
            raise ValueError(f"no reader for this statement of the document: {line[:80]}")


def _database(match: re.Match[str], statement: str) -> Iterator[str]:
    yield f"database {match[1]}"
    for option in re.findall(r"^\s*(?:WITH\s+)?([A-Z_ ]+ = \S+)\s*$", statement, re.MULTILINE):
        yield f"database option {option}"


def _table(match: re.Match[str], statement: str) -> Iterator[str]:
    table = match[1]
    yield f"table {table}"
    body = statement[statement.index("(") + 1 : statement.rindex(")")]
    for definition in re.split(r",(?![^(]*\))", body):
        column, _, rest = " ".join(definition.split()).partition(" ")
        yield f"column {table}.{column}"
        if rest.startswith("SERIAL"):
            yield f"sequence {table}_{column}_seq"
        for clause, suffix in (("PRIMARY KEY", "pkey"), (" UNIQUE", f"{column}_key"), ("REFERENCES", f"{column}_fkey")):
            if clause in f" {rest}":
                yield f"constraint {table}.{table}_{suffix}"


STATEMENTS = (
    (r"CREATE DATABASE (\w+)", _database),
    (r"\\c (\w+)", lambda match, _: [f"command \\c {match[1]}"]),
    (r"CREATE TABLE (\w+)", _table),
    (r"CREATE INDEX (\w+)", lambda match, _: [f"index {match[1]}"]),
    (r"ALTER TABLE (\w+) ADD CONSTRAINT (\w+)", lambda match, _: [f"constraint {match[1]}.{match[2]}"]),
    (r"CREATE OR REPLACE FUNCTION (\w+)", lambda match, _: [f"function {match[1]}"]),
    (r"CREATE TRIGGER (\w+) .* ON (\w+)", lambda match, _: [f"trigger {match[2]}.{match[1]}"]),
    (r"CREATE USER (\w+)", lambda match, _: [f"role {match[1]}"]),
    (r"GRANT (.+)", lambda match, _: [f"grant {match[1]}"]),
    (r"ALTER DEFAULT PRIVILEGES (.+)", lambda match, _: [f"default privileges {match[1]}"]),
    (r"SELECT .+", lambda match, _: [f"query {match[0]}"]),
)


def _redis(block: Block) -> Iterator[str]:
    """Settings; one that is commented out and looks like one counts, since the document means it for production."""
    for line in block.text.splitlines():
        setting = re.fullmatch(r"(?:# )?([a-z-]+ [\x21-\x7e ]+)", line.strip())
        if setting:
            yield f"redis {setting[1]}"


def _shell(block: Block) -> Iterator[str]:
    joined = block.text.replace("\\\n", " ")
    for line in joined.splitlines():
        plain = " ".join(line.split())
        if not plain or plain.startswith("#"):
            continue
        yield f"env {block.heading}: {plain}" if ENV_LINE.fullmatch(plain) else f"command {plain}"


READERS = {"sql": _sql, "conf": _redis, "bash": _shell}
