"""Keeps what the Pulumi SDK imports and a provider never uses out of the plugin's start, which is on every run's clock.

`import pulumi` brings the automation API, dynamic providers and policy packs: a quarter of the plugin's start, twice in
every `up`. They stay importable: each is executed when something in it is first asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

UNUSED = frozenset({"pulumi.automation", "pulumi.dynamic", "pulumi.policy"})


class LateFinder(MetaPathFinder):
    """Finds the unused modules where they are, and leaves them unexecuted."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module with a lazy loader, or None for every other module."""
        if fullname not in UNUSED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def install() -> None:
    """Must be called before `pulumi` is imported."""
    sys.meta_path.insert(0, LateFinder())
