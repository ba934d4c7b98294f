"""One apply in a process of its own, for tests that kill it. Reads its request from standard input."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from infra.changes import shown
from infra.targets import processes
from infra.targets.placement import load
from infra.targets.spec import ServerSpec

if __name__ == "__main__":
    request = json.load(sys.stdin)
    place = load(Path(request["folder"]))
    assert place is not None
    changes = processes.apply(
        place,
        ServerSpec.from_json(request["spec"]),
        request["secrets"],
        Path(request["programs"]),
        cancelled=threading.Event(),
        progress=lambda _line: None,
    )
    print(json.dumps(shown(changes)))
