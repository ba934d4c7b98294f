"""Only a target's own folder, and the settings, know its name: another target is another folder and nothing else.

`processes` is also an ordinary word, so it counts as a module's path and as a whole text; `docker` and `container` count
in every name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.targets import target
from tests.unit.test_import_rules import MODULES, named

FREE = ("infra/targets/", "infra/settings/")
WORDS = re.compile(r"docker|container", re.IGNORECASE)

EXCEPTIONS: dict[str, tuple[set[str], str]] = {
    "infra/operations/purge.py": (
        {"docker_plugin", "tools.pulumi.docker_plugin"},
        "a plugin of Pulumi that only one target uses has to be there to destroy what it made",
    ),
    "infra/verification/checks/test_schema.py": (
        {"Container", "collections.abc.Container"},
        "Python's own word for what can be asked whether something is in it",
    ),
}
"""Module -> names of a target that it has, and why. A new one is a reason to ask the target instead: see Target."""


def names_of_targets(path: str, source: str) -> set[str]:
    """What a module says of any one target."""
    modules = tuple(f"infra.targets.{name}." for name in target.names())
    whole = {repr(name) for name in target.names()}
    said = {Path(path).stem, *_said(ast.parse(source))}
    return {name for name in said if f"{name}.".startswith(modules) or name in whole or WORDS.search(name)}


def _said(tree: ast.AST) -> Iterator[str]:
    """Every name in a module, and every text in quotes that is nothing but a target's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and node.value in target.names():
            yield repr(node.value)
        for name in ("id", "attr", "arg", "name"):
            value = getattr(node, name, None)
            if isinstance(value, str) and "." not in value:
                yield value


def test_no_target_is_named_outside_its_folder_and_the_settings() -> None:
    among = [path for path in MODULES if not named(path).startswith(FREE)]
    found = {named(path): names_of_targets(named(path), path.read_text(encoding="utf-8")) for path in among}
    assert {path: names for path, names in found.items() if names} == {
        path: names for path, (names, _) in EXCEPTIONS.items()
    }
    assert all(reason for _, reason in EXCEPTIONS.values())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from infra.targets.processes import logs", {"infra.targets.processes.logs"}),
        ("import infra.targets.docker.engine as engine", {"infra.targets.docker.engine"}),
        ("if location.target == 'processes': pass", {"'processes'"}),
        ("class ContainerLog: ...", {"ContainerLog"}),
        ("def start(container_id, *, docker): ...", {"container_id", "docker"}),
        ("found.container = 1", {"container"}),
        ("call(in_container=True)", {"in_container"}),
        ("processes = [1]\n'the processes of this machine'\nfrom infra.targets import target", set()),
    ],
)
def test_that_it_would_be_noticed(source: str, expected: set[str]) -> None:
    assert names_of_targets("infra/operations/new.py", source) == expected


def test_that_a_files_name_would_be_noticed() -> None:
    assert names_of_targets("infra/operations/docker_things.py", "") == {"docker_things"}
