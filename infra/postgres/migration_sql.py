"""What a migration's SQL must not hold: it is sent to the server as it is, whole, and once in every database.

Found before anything is applied, each at its place. Where the file may have been applied by a release that did not look,
the objection counts only while it is pending: an applied file cannot be edited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from infra.postgres.statements import Statement, Token, UnfinishedSqlError, read


@dataclass(frozen=True)
class Objection:
    """offset: of what is objected to, in characters from 0. applicable: whether the server would have run it."""

    offset: int
    cause: str
    hint: str
    applicable: bool = False


_SECTION_MARKS = {
    "dbmate": r"migrate:(?:up|down)\b.*",
    "goose": r"\+goose\b.*",
    "sql-migrate": r"\+migrate\b.*",
    "Liquibase": r"liquibase formatted sql.*|changeset\s+\S+:\S+.*",
    "tern": r"create above\s*/\s*drop below",
    "Play": r"!(?:ups|downs)",
    "Atlas": r"atlas:(?:txtar|txmode|delimiter|checkpoint)\b.*",
    "Rambler": r"rambler\s+(?:up|down)",
    "another tool": r"(?:@|!|migrate|migration)?[\s:_-]*(?:down|undo|rollback|roll back|revert)"
    r"[\s:_-]*(?:migration|script|section|part)?|(?:up|down) migration",
}
"""Tool -> the comments by which it tells the parts of a file from each other, without what surrounds their words."""
_MARK = re.compile(
    "|".join(f"(?P<_{number}>{pattern})" for number, pattern in enumerate(_SECTION_MARKS.values())), re.IGNORECASE
)
_AROUND_WORDS = " \t\r-/*#="
_TOOLS = list(_SECTION_MARKS)

_PSQL = {
    "\\restrict": "remove the lines \\restrict and \\unrestrict, which pg_dump writes for psql: nothing is lost",
    "\\unrestrict": "remove the lines \\restrict and \\unrestrict, which pg_dump writes for psql: nothing is lost",
    "\\.": "write the rows as INSERT statements (pg_dump --inserts does)",
    "\\i": "copy the statements of that file to this place",
    "\\ir": "copy the statements of that file to this place",
    "\\c": "remove it: a migration runs in the stack's database and in no other",
    "\\connect": "remove it: a migration runs in the stack's database and in no other",
}

_LEAVES_ITS_ROLE = re.compile(r"(?:re)?set (?:local |session )?session authorization\b|discard all\b")
_SETTINGS = "set it in the stack's file under postgres (docs/settings.md), or leave it to whoever runs the server"
_ROLES = (
    "a migration may name postgres.applicationRole, which exists before it runs; other roles are made once per server by "
    "whoever runs it, and rights of the application's role are declared by the project"
)
_ON_CLUSTER = r"(?:role|database|tablespace|subscription)"
_CLUSTER_WIDE = {
    r"(?:create|alter|drop) (?:role|user(?! mapping)|group)\b": _ROLES,
    r"(?:grant|revoke) (?!.*\bon\b)": _ROLES,
    r"(?:reassign|drop) owned\b": "name the objects; an owned object may lie in another database",
    r"(?:create|alter|drop) database\b": _SETTINGS,
    r"alter system\b": _SETTINGS,
    r"(?:create|alter|drop) tablespace\b": "leave it to whoever runs the server, and name it as postgres.tablespace",
    r"(?:create|alter|drop) subscription\b": "leave it to whoever runs the server: it holds a password and a slot elsewhere",
    rf"(?:comment on|security label\b.* on) {_ON_CLUSTER}\b": "remove it: the comment is this project's mark",
    r"(?:grant|revoke)\b.* on (?:database|tablespace|parameter)\b": "remove it: rights of roles are declared by the project",
}
"""What is not in one database: it would be run again in the scratch database of every clone, on the same server."""
_IN_A_BODY = re.compile(
    r"\b(?:(?:create|alter|drop)\s+(?:role|user(?!\s+mapping)|group|database|tablespace|subscription)|alter\s+system)\b",
    re.IGNORECASE,
)


def objections(text: str, *, transactional: bool) -> Iterator[Objection]:
    """In the order of the text; what stands after one that is not `applicable` may be no SQL. transactional: as the file."""
    statement: list[Token] = []
    try:
        for item in read(text):
            if isinstance(item, Token):
                statement.append(item)
                yield from _of_token(text, item, statement)
            else:
                statement = []
                yield from _of_statement(item, transactional=transactional)
    except UnfinishedSqlError as error:
        yield Objection(error.offset, str(error), "close it")


def _of_token(text: str, token: Token, statement: list[Token]) -> Iterator[Objection]:
    if token.kind == "comment":
        yield from _of_comment(token)
    elif token.kind == "word" and "\ufeff" in token.value:
        offset = token.start + token.value.index("\ufeff")
        yield Objection(offset, "here is a byte-order mark, as between files that were joined", "remove it")
    elif token.kind == "other" and token.value in "\\$:":
        rest = text[token.start : token.start + 80].split(maxsplit=1)[0]
        if token.value == "\\":
            hint = _PSQL.get(rest, "remove it, or write it as SQL")
            yield Objection(token.start, f"`{rest}` is a command of psql, which the server does not know", hint)
        elif rest.startswith("${"):
            yield Objection(
                token.start, f"`{rest}` is another tool's placeholder, filled in by nobody", "write the value"
            )
        elif re.match(r":['\"A-Za-z_]", rest) and _is_variable(statement):
            yield Objection(token.start, f"`{rest}` is a variable of psql, filled in by nobody", "write the value")


def _is_variable(statement: list[Token]) -> bool:
    """Whether the colon that ends these tokens is neither half of `::` nor a slice's, nor between a JSON key and value."""
    brackets = sum((token.value == "[") - (token.value == "]") for token in statement if token.kind == "other")
    before = statement[-2].value if len(statement) > 1 else ""
    return (
        before != ":" and not brackets and not any(token.value.lower().startswith("json_object") for token in statement)
    )


def _of_comment(token: Token) -> Iterator[Objection]:
    offset = token.start
    for line in token.value.split("\n"):
        match = _MARK.fullmatch(line.strip(_AROUND_WORDS))
        if match is not None:
            tool = _TOOLS[int(str(match.lastgroup)[1:])]
            yield Objection(
                offset,
                f"`{line.strip()}` marks a part of a file for {tool}; here the whole file would run, the way back included",
                "keep only the part that is to be applied, and remove the marks",
                applicable=True,
            )
        offset += len(line) + 1


def _of_statement(statement: Statement, *, transactional: bool) -> Iterator[Objection]:
    said = " ".join(statement.words)
    if re.match(r"copy\b.*\b(?:from stdin|to stdout)\b", said):
        yield Objection(
            statement.offset,
            "COPY with rows in the file itself is for psql: no statement can carry them",
            "write the rows as INSERT statements (pg_dump --inserts does)",
        )
    elif transactional and statement.controls_transaction:
        yield Objection(
            statement.offset,
            f"{statement.words[0].upper()} would end the transaction that the file shares with its record",
            "remove it, or begin the file with `-- transaction: none`",
        )
    elif _LEAVES_ITS_ROLE.match(said):
        cause = f"{statement.words[0].upper()} would let the rest run as the superuser, and not as postgres.ownerRole"
        hint = "remove it; what needs a superuser is done once in `circlepay psql`"
        yield Objection(statement.offset, cause, hint, applicable=True)
    else:
        yield from _of_cluster(statement)


def within_database(text: str) -> str:
    """The same without the statements that change the whole server, for a replay; every other character keeps its place."""
    for item in read(text):
        if isinstance(item, Statement) and _beyond_database(item):
            blank = re.sub(r"[^\n]", " ", item.text)
            text = text[: item.offset] + blank + text[item.offset + len(item.text) :]
    return text


def _beyond_database(statement: Statement) -> str:
    """What is to be done instead; empty for a statement that stays in its database."""
    said = " ".join(statement.words)
    return next((hint for pattern, hint in _CLUSTER_WIDE.items() if re.match(pattern, said)), "")


def _of_cluster(statement: Statement) -> Iterator[Objection]:
    hint, words, offset = _beyond_database(statement), " ".join(statement.words), statement.offset
    if not hint and statement.words[:1] == ("do",):
        body = re.sub(r"--[^\r\n]*", lambda comment: " " * len(comment.group()), statement.text)
        if match := _IN_A_BODY.search(body):
            hint = _SETTINGS if match.group().lower().endswith(("database", "system")) else _ROLES
            words, offset = match.group(), offset + match.start()
    if hint:
        named = " ".join(words.split()[:2]).upper()
        cause = f"{named} changes the whole server, and a migration only its database"
        yield Objection(offset, cause, hint, applicable=True)
