"""The plugin's entry point: `python -m infra.provider ENGINE_ADDRESS`."""

from __future__ import annotations

import gc
import os
import sys

from infra.provider import bindings

# gRPC's fork handlers crash children started from threads; must be set before grpc is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def main() -> None:
    """Serves every resource type to the engine whose address is the last argument."""
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if len(arguments) != 1:
        sys.exit("usage: python -m infra.provider ENGINE_ADDRESS (Pulumi starts this program)")
    # Imported modules are never garbage, and collecting during the imports takes a tenth of the start-up time.
    gc.disable()
    bindings.install()
    from infra.provider.protocol import serve
    from infra.provider.resource_types import handlers
    from infra.version import VERSION

    gc.freeze()
    gc.enable()
    serve(handlers(), VERSION, arguments[0])


if __name__ == "__main__":
    main()
