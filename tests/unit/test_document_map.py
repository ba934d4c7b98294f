"""Everything the document says has a test that proves it, and what it says is what this package does by default."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from infra.cache import parameters, server
from infra.settings.docker import DockerSettings
from infra.settings.model import PostgresSettings, RedisSettings
from infra.targets.docker import ownership
from tests import document_map
from tests.support import document, live_servers

TEXT = document.DOCUMENT.read_text(encoding="utf-8")
ITEMS = document.items(TEXT)
ROOT = document.DOCUMENT.parents[1]
ACCEPTANCE = "infra/verification/checks/"
ACCEPTANCE_OF_CONTAINERS = "infra/targets/docker/checks/"


def proofs(item: str) -> tuple[str, ...]:
    """The tests that prove an item, as the map says; empty for an unmapped one."""
    if item in document_map.PROOFS:
        return document_map.PROOFS[item]
    found = [
        test
        for pattern, tests in document_map.RULES
        if (match := re.fullmatch(pattern, item))
        for test in (match.expand(template) for template in tests)
    ]
    if item.startswith("env "):
        assignment = item.rpartition(": ")[2]
        key = assignment.partition("=")[0]
        values = document_map.VALUES.get(assignment) or document_map.VALUES.get(key)
        return (*found, *values) if values else ()
    return tuple(found)


@functools.cache
def existing() -> frozenset[str]:
    """Every test case in the files the map names, as pytest itself calls them, each also without its parameters."""
    templates = [test for _, tests in document_map.RULES for test in tests]
    named = [test for tests in (*document_map.PROOFS.values(), *document_map.VALUES.values()) for test in tests]
    files = {test.partition("::")[0] for test in (*templates, *named)}
    suite = {file for file in files if file.startswith((ACCEPTANCE, ACCEPTANCE_OF_CONTAINERS))}
    own_configuration = ["--noconftest", "-c", f"{ACCEPTANCE}pytest.ini", "--rootdir", "."]
    runs: list[tuple[set[str], list[str]]] = [(suite, own_configuration), (files - suite, [])]
    cases: set[str] = set()
    for chosen, options in runs:
        argv = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            *options,
            *sorted(chosen),
        ]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        cases |= {line.strip() for line in done.stdout.splitlines() if "::" in line}
    return frozenset(cases | {case.partition("[")[0] for case in cases})


def test_every_item_is_mapped() -> None:
    assert [item for item in ITEMS if not proofs(item)] == []


def test_every_proof_exists() -> None:
    wanted = {test: item for item in ITEMS for test in proofs(item)}
    assert {test: item for test, item in wanted.items() if test not in existing()} == {}


def test_map_holds_nothing_the_document_does_not_say() -> None:
    assert sorted(set(document_map.PROOFS) - set(ITEMS)) == []
    unused = [pattern for pattern, _ in document_map.RULES if not any(re.fullmatch(pattern, item) for item in ITEMS)]
    assert unused == []
    assignments = {item.rpartition(": ")[2] for item in ITEMS if item.startswith("env ")}
    assert set(document_map.VALUES) <= assignments | {assignment.partition("=")[0] for assignment in assignments}


@pytest.mark.parametrize(
    "addition",
    [
        "```sql\nCREATE TABLE refunds (\n    id SERIAL PRIMARY KEY\n);\n```\n",
        "```conf\nappendonly yes\n```\n",
        "```bash\nredis-cli flushall\n```\n",
        "```bash\nSENTRY_DSN=https://example\n```\n",
        "```sql\nSELECT 1;\n```\n",
        "```sql\nGRANT ALL ON DATABASE circlepay_db TO circlepay_user;\n```\n",
    ],
    ids=["table", "redis setting", "command", "env key", "query", "grant"],
)
def test_unmapped_addition_would_be_noticed(addition: str) -> None:
    added = [item for item in document.items(f"{TEXT}\n{addition}") if item not in ITEMS]
    assert added
    mapped = {test for item in added for test in proofs(item)}
    assert not mapped or mapped - existing()


def test_missing_test_would_be_noticed() -> None:
    assert f"{document_map.SCHEMA}::test_column[users.email]" in existing()
    assert f"{document_map.SCHEMA}::test_column[users.nickname]" not in existing()
    assert f"{document_map.LOGS}::test_nonsense" not in existing()


def test_statement_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="no reader for this statement"):
        document.items("```sql\nVACUUM;\n```\n")


def test_counts_are_those_of_the_document() -> None:
    kinds = ("table", "column", "index", "constraint", "sequence", "trigger", "function", "query", "redis", "env")
    counts = {kind: sum(item.startswith(f"{kind} ") for item in ITEMS) for kind in kinds}
    assert counts == {
        "table": 4,
        "column": 87,
        "index": 22,
        "constraint": 16,
        "sequence": 4,
        "trigger": 3,
        "function": 1,
        "query": 3,
        "redis": 12,
        "env": 12,
    }


def test_redis_defaults_are_the_documents() -> None:
    said: dict[str, list[str]] = {}
    for item in ITEMS:
        if item.startswith("redis "):
            name, _, value = item.removeprefix("redis ").partition(" ")
            said.setdefault(name, []).append(value)
    declared = parameters.declared(RedisSettings())
    placed = {"port": "6379", "bind": RedisSettings().bind, "logfile": said["logfile"][0]}
    assert said.pop("requirepass")
    assert {name: parameters.normalised(name, " ".join(values)) for name, values in said.items()} == declared | placed


def test_docker_defaults_are_the_documents() -> None:
    """Name, port, volume and image of the documented `docker run`, but for where the port is published."""
    command = next(item for item in ITEMS if item.startswith("command docker run"))
    *words, image = shlex.split(command.removeprefix("command docker run -d "))
    said = dict(zip(words[::2], words[1::2], strict=True))
    own = ownership.names(server.NAME, DockerSettings().suffix)
    port = server.spec(parameters=parameters.declared(RedisSettings())).documented_port
    assert image == DockerSettings().redis_image
    assert said == {"--name": own.container, "-p": f"{port}:{port}", "-v": f"{own.data_volume}:/data"}


def test_database_defaults_are_the_documents() -> None:
    said = dict(
        item.removeprefix("database option ").split(" = ") for item in ITEMS if item.startswith("database option")
    )
    default = PostgresSettings()
    assert f"database {default.database}" in ITEMS
    assert f"role {default.application_role}" in ITEMS
    assert {name: value.strip("'") for name, value in said.items()} == {
        "OWNER": default.superuser,
        "ENCODING": default.encoding,
        "LC_COLLATE": default.locale,
        "LC_CTYPE": default.locale,
        "TABLESPACE": default.tablespace,
        "CONNECTION LIMIT": str(default.connection_limit),
    }


CATALOG = """
SELECT 'column', attrelid::regclass::text, attnum::text, attname,
       format('%s %s %s', format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r') AND attnum > 0
UNION ALL
SELECT 'index', indrelid::regclass::text, '', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
FROM pg_index JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'constraint', conrelid::regclass::text, contype::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgenabled::text, tgname, pg_get_triggerdef(oid)
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'function', '', prolang::text, proname, prosrc
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'sequence', '', seqtypid::regtype::text, seqrelid::regclass::text, format('%s %s', seqstart, seqincrement)
FROM pg_sequence
ORDER BY 1, 2, 3, 4
"""


@contextmanager
def _scratch(connection: psycopg.Connection, ddl: str) -> Iterator[list[tuple[str, ...]]]:
    """The catalog after these statements, which are taken back afterwards."""
    with connection.transaction(force_rollback=True):
        connection.execute(ddl.encode())
        yield connection.execute(CATALOG).fetchall()


def test_baseline_is_the_documents_schema() -> None:
    """The document's own statements and the first migration make the same catalog, identifier for identifier."""
    baseline = (live_servers.MIGRATIONS / "0001_baseline.sql").read_text(encoding="utf-8")
    with live_servers.postgres() as server, live_servers.connect(server, "postgres") as connection:
        with _scratch(connection, document.schema(TEXT)) as expected:
            assert len(expected) > 130
        with _scratch(connection, baseline) as found:
            assert found == expected
