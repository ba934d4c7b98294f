"""A server's place in a container of the engine of this machine.

Its program is the Redis of the stand-in image, behind a shell that reads a file again on a signal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from infra.targets.docker import archives, one_shot
from infra.targets.docker.container_location import FILES_ROOT, ContainerLocation
from infra.targets.docker.machine import ContainerMachine
from infra.targets.docker.ownership import inspected
from infra.targets.location import Location
from infra.targets.machine import Machine
from infra.targets.spec import ServerFile, ServerSpec
from tests.machines.stages import Look, Stage
from tests.support import container_product, engine
from tests.support.container_places import make_container, placed
from tests.support.placements import wait_until

SERVE = """
note={config}/note
if grep -q crash $note; then echo fatal: told to crash; cat {secrets}/password.conf; exit 3; fi
redis-server {config}/third.conf & server=$!
trap "cp $note {data}/loaded" HUP
trap "grep -q stubborn $note || kill -TERM $server" TERM
cp $note {data}/loaded
while kill -0 $server 2>/dev/null; do wait $server; code=$?; done
exit $code
"""
INITIALIZE = {
    "": "cp {secrets}/initial {data}/password.conf; echo 7 >{data}/FORMAT",
    "fails": "touch {data}/half; cat {secrets}/initial; exit 3",
    "slow": "cp {secrets}/initial {data}/password.conf; sleep 2; echo 7 >{data}/FORMAT",
}
REPAIR = {"data": "cat >{data}/password.conf", "fails": "cat; exit 3"}
REQUIRED = 'requirepass "{secret:password}"\n'


def required(secrets: dict[str, str]) -> str:
    """What the repair of its credentials reads."""
    return REQUIRED.replace("{secret:password}", secrets["password"])


class ContainerStage(Stage):
    """A container, made as pulumi-docker makes it before anything else happens: not started."""

    live, password = "config/note", "secrets/password.conf"

    def __init__(self, location: Location) -> None:
        self.api, self.location = engine.client(), location
        self.container = ContainerLocation.of(location)

    def spec(self, live: str = "hello", *, extra: str = "", how: str = "", kept: str = "") -> ServerSpec:
        spec = container_product.spec(note=f"{live}\n{extra}", initialize=f"umask 077; {INITIALIZE[how]}")
        spec = replace(spec, start=("sh", "-c", SERVE), reload_signal="SIGHUP", restart_key=spec.restart_key + extra)
        once = ServerFile("secrets", "initial", REQUIRED, once=True)
        files = tuple(file for file in spec.files if not file.once)
        if not kept:
            return replace(spec, files=(*files, once))
        moved = [replace(each, content=each.content.replace("{secrets}", "{data}")) for each in files[:2]]
        repairing = replace(
            spec, credentials_command=("sh", "-c", REPAIR[kept]), credentials_input=f"{__name__}:required"
        )
        return replace(repairing, files=(*moved, once))

    def machine(self, spec: ServerSpec) -> Machine:
        if inspected(self.api, self.container.container) is None:
            make_container(self.location, spec)
        return ContainerMachine(self.api, self.location, spec)

    def look(self, path: str) -> Look | None:
        where = self._inside(path)
        output = self._by_hand(f"[ -e {where} ] && stat -c '%a %u' {where} && if [ -f {where} ]; then cat {where}; fi")
        first, _, text = output.partition("\n")
        if not first:
            return None
        mode, owner = first.split()
        return Look(text, int(mode, 8), int(owner) == self.container.owner.uid)

    def put(self, path: str, text: str) -> None:
        where = self._inside(path)
        self._by_hand(f'mkdir -p {where.rpartition("/")[0]}; printf %s "$TEXT" >{where}', text)

    def chmod(self, path: str, mode: int) -> None:
        self._by_hand(f"chmod {mode:o} {self._inside(path)}")

    def remove(self, path: str) -> None:
        """Of the data's folder only what is in it: a volume stays."""
        where = self._inside(path)
        self._by_hand(f"rm -r {where}/*" if path == "data" else f"rm -r {where}")

    def _inside(self, path: str) -> str:
        return (
            f"{self.container.data}{path.removeprefix('data')}" if path.startswith("data") else f"{FILES_ROOT}/{path}"
        )

    def _by_hand(self, script: str, text: str = "") -> str:
        """What a shell of root prints that sees both volumes. The next look is one of another process."""
        archives.forget(self.container.container)
        made = self.api.create_container(
            self.container.image,
            entrypoint=["sh", "-c", script],
            user="0:0",
            environment={"TEXT": text},
            labels=dict(self.container.labels),
            host_config=self.api.create_host_config(binds=one_shot.binds(self.container, writable=True)),
        )["Id"]
        try:
            self.api.start(made)
            self.api.wait(made)
            return bytes(self.api.logs(made)).decode()
        finally:
            one_shot.remove(self.api, made)

    def kill(self) -> None:
        engine.ServerContainer(self.container.container, self.location.port, self.container.data_volume).kill()

    def halt(self) -> None:
        found = engine.ServerContainer(self.container.container, self.location.port, self.container.data_volume).process
        for each in (*found.children(recursive=True), found):
            each.suspend()

    def loaded(self) -> str:
        text = archives.read_text(self.api, self.container.container, f"{self.container.data}/loaded") or ""
        return text.partition("\n")[0]

    def process(self) -> str:
        return str(self.api.inspect_container(self.container.container)["State"]["StartedAt"])

    def leave_unfinished(self) -> None:
        """The container that initialises was started, and killed."""
        name = f"{self.container.container}-initialize"
        begun = ["sh", "-c", f"touch {self.container.data}/half; sleep 60"]
        made = one_shot.create(self.api, self.container, begun, "initialize", name=name)
        with one_shot.file_access(self.api, self.container) as container:
            self.api.put_archive(container, self.container.data, archives.packed({}, (".",), self.container.owner))
        self.api.start(made)
        wait_until(lambda: archives.mode_of(self.api, made, f"{self.container.data}/half"))
        self.api.kill(made)


@contextmanager
def staged() -> Iterator[ContainerStage]:
    """One on the engine of this machine, without limits; everything of it goes afterwards."""
    with placed({}) as location:
        yield ContainerStage(location)
