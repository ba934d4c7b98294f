"""The page of expectations says what the document says."""

from __future__ import annotations

import re

from infra.paths import PROJECT_ROOT
from infra.verification.checks.expected import (
    CONSTRAINTS,
    DOCUMENTED_INDEXES,
    ENV_KEYS,
    INDEXES,
    REDIS_DOCUMENTED,
    TABLES,
    TRIGGERS,
)

DOCUMENT = (PROJECT_ROOT / "docs" / "source-document.ko.md").read_text(encoding="utf-8")


def test_tables_and_columns() -> None:
    for table, columns in TABLES.items():
        body = DOCUMENT.partition(f"CREATE TABLE {table} (")[2].partition("\n);")[0]
        assert [column.name for column in columns] == re.findall(r"^    (\w+) [A-Z]", body, re.MULTILINE)
    assert list(TABLES) == re.findall(r"CREATE TABLE (\w+)", DOCUMENT)


def test_indexes() -> None:
    written = re.findall(r"CREATE INDEX (\w+) ON (\w+)\((\w+)\)", DOCUMENT)
    assert [(name, index.table, index.columns) for name, index in DOCUMENTED_INDEXES.items()] == written
    assert (len(INDEXES), sum(not index.redundant for index in INDEXES.values())) == (35, 26)


def test_redundant_indexes_are_covered() -> None:
    covering = [index for index in INDEXES.values() if index.unique]
    for name, index in DOCUMENTED_INDEXES.items():
        covered = any(
            other.table == index.table and other.columns.split(", ")[0] == index.columns for other in covering
        )
        assert covered is index.redundant, name


def test_unique_constraints() -> None:
    written = DOCUMENT.count(" UNIQUE") + DOCUMENT.count("PRIMARY KEY") + DOCUMENT.count("REFERENCES ")
    assert sum(map(len, CONSTRAINTS.values())) == written


def test_triggers() -> None:
    written = re.findall(r"CREATE TRIGGER (\w+) BEFORE UPDATE ON (\w+)", DOCUMENT)
    assert [(name, table) for name, (table, _) in TRIGGERS.items()] == written


def test_redis_settings() -> None:
    configuration = DOCUMENT.partition("```conf\n")[2].partition("```")[0]
    written = dict(re.findall(r"^([a-z-]+) (.+)$", configuration, re.MULTILINE))
    saves = " ".join(re.findall(r"^save (.+)$", configuration, re.MULTILINE))
    placed = {"port", "bind", "logfile"}
    assert {name: value for name, value in written.items() if name not in placed} | {"save": saves} == REDIS_DOCUMENTED


def test_env_keys() -> None:
    blocks = DOCUMENT.partition("### 1. .env")[2].partition("\n---")[0]
    assert set(ENV_KEYS) == set(re.findall(r"^([A-Z_]+)=", blocks, re.MULTILINE))
