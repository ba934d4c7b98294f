"""One apply in a process of its own, for tests that kill it. Reads its request from standard input."""

from __future__ import annotations

import json
import sys
import threading

from infra.changes import as_dicts
from infra.targets import lifecycle
from infra.targets import target as targets
from infra.targets.location import Location
from infra.targets.server import Server
from infra.targets.spec import ServerSpec

if __name__ == "__main__":
    request = json.load(sys.stdin)
    location = Location.from_json(request["location"])
    with targets.load(location.target).machine(location, ServerSpec.from_json(request["spec"])) as machine:
        assert machine is not None
        server = Server(machine, request["secrets"])
        outcome = lifecycle.apply(server, cancelled=threading.Event(), progress=lambda _line: None)
    print(json.dumps(as_dicts(outcome.changes)))
