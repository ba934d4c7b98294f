"""Makes Pulumi's generated protocol modules importable without executing the SDK, which would slow every run down.

Python executes the parent packages of a module before the module: for `pulumi.runtime.proto.provider_pb2` that is the
whole SDK, half of the plugin's start-up time, twice in every `up`. The generated modules do not need it, so their parent
packages are registered here without being executed.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType

PACKAGES = ("pulumi", "pulumi.runtime", "pulumi.runtime.proto")
"""The parent packages of the generated modules, outermost first."""


def install() -> None:
    """Must be called before anything imports `pulumi`; afterwards only the modules within these packages can be used.

    Raises ImportError when the SDK is not installed.
    """
    path = None
    for name in PACKAGES:
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError(f"{name} is not an installed package", name=name)
        package = ModuleType(name)
        package.__spec__ = spec
        package.__path__ = path = list(spec.submodule_search_locations)
        sys.modules[name] = package
