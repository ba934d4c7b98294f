"""Makes Pulumi's generated protocol modules importable without the SDK around them, which is on every run's clock.

Python executes the packages around a module before the module: for `pulumi.runtime.proto.provider_pb2` that is the whole
SDK, half of the plugin's start, twice in every `up`. The generated modules need none of it, so those packages are
registered here unexecuted.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType

PACKAGES = ("pulumi", "pulumi.runtime", "pulumi.runtime.proto")
"""The packages around the generated modules, outermost first."""


def install() -> None:
    """Must be called before anything imports `pulumi`; afterwards only the modules within these packages can be used.

    Raises ImportError when the SDK is not installed.
    """
    path = None
    for name in PACKAGES:
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError(f"{name} is no installed package", name=name)
        package = ModuleType(name)
        package.__spec__ = spec
        package.__path__ = path = list(spec.submodule_search_locations)
        sys.modules[name] = package
