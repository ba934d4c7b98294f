"""With which settings a server runs: noted beside its files, on the volume that the server itself may not write.

The note is written with the files while the server is stopped, since whatever starts it then reads those, and after a
server that runs was restarted or told to read them. In between, what differs is noted as unknown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from infra.targets import rendering
from infra.targets.containers import archives
from infra.targets.containers.site import Site
from infra.targets.spec import ServerSpec

PATH = "run/applied.json"
"""File of the note below FILES_ROOT."""


@dataclass(frozen=True)
class Keys:
    """Digests of what a server has read, empty where nobody knows. restart: only when it started. reload: also when it was
    told to.
    """

    restart: str = ""
    reload: str = ""

    def agreeing(self, other: Keys) -> Keys:
        """What both say; unknown where they differ."""
        return Keys(
            self.restart if self.restart == other.restart else "", self.reload if self.reload == other.reload else ""
        )

    @property
    def note(self) -> dict[str, str]:
        """The note as a file: path below FILES_ROOT -> content."""
        return {PATH: json.dumps(asdict(self))}


def declared(spec: ServerSpec, site: Site, secrets: Mapping[str, str]) -> Keys:
    """What the server should have read."""
    places = site.places
    read_again = [file for file in spec.files if not file.restart and not file.once]
    texts = [rendering.text(file, spec, places, secrets) for file in read_again]
    reload = hashlib.sha256("\0".join(texts).encode()).hexdigest() if spec.reload_signal else ""
    return Keys(rendering.digest_of(spec, places, secrets), reload)


def noted(archive: bytes | None) -> Keys:
    """What the note in an archive of FILES_ROOT says; empty keys without one, or where it cannot be read."""
    try:
        return Keys(**json.loads(archives.text_in(archive, PATH) or "{}"))
    except (ValueError, TypeError):
        return Keys()
