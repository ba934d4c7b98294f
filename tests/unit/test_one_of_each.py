"""What the package has one of stays one: whoever opens a session, replaces a file, speaks to Redis or masks a secret."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import pytest

from tests.unit.test_import_rules import MODULES, named

SESSIONS = frozenset({"psycopg.connect", "psycopg.Connection.connect", "psycopg.AsyncConnection.connect"})
CLIENTS = frozenset({"redis.Redis", "redis.StrictRedis", "redis.from_url", "redis.Redis.from_url"})
RENAMES = frozenset({"os.replace", "os.rename", "os.renames", "shutil.move"})
RESP = re.compile(r"[*$]\S*\r\n")
"""How a command begins in the protocol of Redis: `*2`, `$4`, or a pattern for it, and the end of the line."""

WHOLE_FOLDERS = {
    "infra/operations/state_file.py": "a torn state gives way to the one before it",
    "infra/targets/data_root.py": "the folder of servers' folders appears with its mark in it",
    "infra/targets/processes/machine.py": "initialised data appears whole",
    "infra/targets/processes/placement.py": "a server's folder appears with its mark in it",
    "infra/targets/processes/programs.py": "copied programs appear whole",
}
"""Modules that rename what they did not write through it: folders, and a file of Pulumi's."""
ALONE = {"infra/targets/processes/launch.py": "it runs by itself, as somebody else, and imports nothing of ours"}


def origins(tree: ast.AST) -> dict[str, str]:
    """What the module's names for other modules, and for things of theirs, are in full."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def mentions(*names: str) -> Callable[[ast.AST], bool]:
    """Whether a module mentions one of the names: `os.replace` after `import os`, or `from os import replace`."""

    def found(tree: ast.AST) -> bool:
        known = origins(tree)
        return any(_in_full(node, known) in names for node in ast.walk(tree))

    return found


def calls(*names: str) -> Callable[[ast.AST], bool]:
    """Whether a module calls one of the names."""

    def found(tree: ast.AST) -> bool:
        known = origins(tree)
        return any(_in_full(node.func, known) in names for node in ast.walk(tree) if isinstance(node, ast.Call))

    return found


def _in_full(node: ast.AST, known: dict[str, str]) -> str:
    if not isinstance(node, ast.Name | ast.Attribute):
        return ""
    root, dot, rest = ast.unparse(node).partition(".")
    return f"{known.get(root, '')}{dot}{rest}"


def renames(tree: ast.AST) -> bool:
    """By a function of `os` or `shutil`, or by a method of a path."""
    return mentions(*RENAMES)(tree) or any(_is_a_paths(node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def _is_a_paths(call: ast.Call) -> bool:
    """`Path.replace` and `Path.rename` take one argument; `str.replace` takes two, `dataclasses.replace` others by name."""
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    others = [keyword for keyword in call.keywords if keyword.arg != "target"]
    return method in ("replace", "rename") and not others and len(call.args) + len(call.keywords) == 1


def reads(tree: ast.AST) -> bool:
    """By `open`, or by a method of a path."""
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(
        (isinstance(function, ast.Name) and function.id == "open")
        or (isinstance(function, ast.Attribute) and _is_a_read(function))
        for function in called
    )


def _is_a_read(function: ast.Attribute) -> bool:
    of = ast.unparse(function.value).rpartition(".")[2]
    return function.attr in ("read_text", "read_bytes", "open") and of not in ("files", "os", "archives", "tarfile")


def constants(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def speaks_resp(tree: ast.AST) -> bool:
    return any(RESP.search(text) for text in constants(tree))


def masks(tree: ast.AST) -> bool:
    return not {"[secret]", "***"}.isdisjoint(constants(tree))


OWN_TEXTS = {
    "infra/cache/server.py": "its template, part of the package",
    "infra/postgres/catalog.py": "its query, part of the package",
    "infra/postgres/declared.py": "the same query",
    "infra/postgres/server.py": "its templates, part of the package",
    "infra/settings/reference.py": "a page of the documents",
    "infra/targets/owned_files.py": "makes the output of a start anew",
    "infra/targets/processes/programs.py": "what a wheel says of itself",
    "infra/tunnels.py": "the errors of a tunnel, in a file of its own making",
    "infra/verification/checks/machine.py": "its script, part of the package",
    "infra/verification/checks/observations.py": "its query, part of the package",
    "infra/verification/secret_scanner.py": "what the kernel says of processes",
}
"""Modules that read where nobody else can put anything. All others might find a pipe that waits for ever, or a link."""

RULES = [
    pytest.param(mentions(*SESSIONS), {"infra/postgres/connection.py"}, id="sessions of PostgreSQL"),
    pytest.param(calls(*CLIENTS), {"infra/cache/connection.py"}, id="clients of Redis"),
    pytest.param(speaks_resp, {"infra/cache/wire.py"}, id="the protocol of Redis"),
    pytest.param(renames, {"infra/files.py", *WHOLE_FOLDERS, *ALONE}, id="replaced files"),
    pytest.param(reads, OWN_TEXTS.keys() | ALONE.keys(), id="read files"),
    pytest.param(masks, {"infra/redaction.py"}, id="masks"),
]


@pytest.mark.parametrize(("does", "modules"), RULES)
def test_there_is_one_of_each(does: Callable[[ast.AST], bool], modules: set[str]) -> None:
    assert {named(path) for path in MODULES if does(ast.parse(path.read_text(encoding="utf-8")))} == modules


@pytest.mark.parametrize(
    ("does", "program"),
    [
        (mentions(*SESSIONS), "import psycopg\nwith psycopg.connect('') as connection: pass"),
        (mentions(*SESSIONS), "import psycopg as pg\nopen = pg.connect"),
        (mentions(*SESSIONS), "def late():\n    from psycopg import connect\n    return connect('')"),
        (mentions(*SESSIONS), "from psycopg import Connection\nConnection.connect('')"),
        (calls(*CLIENTS), "from redis import Redis\nRedis()"),
        (calls(*CLIENTS), "import redis\nredis.Redis.from_url('redis://')"),
        (speaks_resp, "connection.sendall(b'*1\\r\\n$4\\r\\nPING\\r\\n')"),
        (speaks_resp, "text = '$%d\\r\\n' % 4"),
        (renames, "import os\nos.replace('a', 'b')"),
        (renames, "from os import rename as move\nmove('a', 'b', src_dir_fd=3)"),
        (renames, "from pathlib import Path\nPath('a').replace('b')"),
        (renames, "temporary.rename(target=path)"),
        (reads, "from pathlib import Path\nPath('a').read_text()"),
        (reads, "with open('a') as file: pass"),
        (reads, "from pathlib import Path\nwith Path('a').open() as file: pass"),
        (masks, "shown = text.replace(password, '***')"),
    ],
)
def test_another_one_is_noticed(does: Callable[[ast.AST], bool], program: str) -> None:
    assert does(ast.parse(program))


@pytest.mark.parametrize(
    ("does", "program"),
    [
        (mentions(*SESSIONS), "import psycopg\nfrom ours import connect\nconnect(psycopg.Connection)"),
        (calls(*CLIENTS), "from redis import Redis\ndef ask(client: Redis): return client.ping()"),
        (speaks_resp, "text.replace('\\r\\n', '\\n')"),
        (renames, "import dataclasses\ndataclasses.replace(value, name='b')\ntext.replace('a', 'b')"),
        (reads, "import os\nfrom infra import files\nfiles.read_text('a')\nos.open('a', 0)"),
        (masks, "text = 'a secret'"),
    ],
)
def test_what_is_something_else_is_not(does: Callable[[ast.AST], bool], program: str) -> None:
    assert not does(ast.parse(program))
