"""Rules about imports that import-linter cannot say: parts of a foreign package, and single names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "infra").rglob("*.py"))
CONFIGURATION = ("pulumi.Config", "pulumi.config", "pulumi.runtime.config")
"""What reads a stack's configuration."""


def named(path: Path) -> str:
    """A module's path below the project's root."""
    return str(path.relative_to(ROOT))


def imported(tree: ast.AST) -> Iterator[str]:
    """Every dotted name a module imports, and every `pulumi.x` it mentions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pulumi":
            yield f"pulumi.{node.attr}"


def users_of(*prefixes: str, among: list[Path]) -> set[str]:
    """The modules that import or mention something below one of the dotted names."""
    wanted = tuple(f"{prefix}." for prefix in prefixes)
    return {
        named(path)
        for path in among
        if any(f"{name}.".startswith(wanted) for name in imported(ast.parse(path.read_text())))
    }


def test_only_the_provider_knows_the_provider_protocol() -> None:
    users = users_of("pulumi.provider", "grpc", among=MODULES)
    assert users
    assert {user for user in users if not user.startswith("infra/provider/")} == set()


def test_the_provider_knows_of_pulumi_the_protocol_and_nothing_else() -> None:
    """The packages around the generated modules are not executed in the plugin: whatever else is used would be missing."""
    provider = [path for path in MODULES if named(path).startswith("infra/provider/")]
    used = {name for path in provider for name in imported(ast.parse(path.read_text())) if name.startswith("pulumi")}
    assert used
    assert {name for name in used if not name.startswith("pulumi.runtime.proto.")} == set()


def test_only_the_settings_read_the_configuration() -> None:
    """The program makes the reader and hands it over, and that is all it does with it."""
    assert users_of(*CONFIGURATION, among=MODULES) == {"infra/settings/loading.py", "infra/__main__.py"}


def test_a_user_is_noticed() -> None:
    tree = ast.parse("import pulumi\n\nport = pulumi.Config().get_int('port')\n")
    assert "pulumi.Config" in set(imported(tree))
