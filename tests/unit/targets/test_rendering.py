from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import TargetError
from infra.targets import rendering
from infra.targets.placement import Placement
from infra.targets.spec import Packaging, ServerFile, ServerSpec

PLACE = Placement(Path("/srv/it's"), "127.0.0.1", 4711, None)


def spec(*files: ServerFile, **changes: object) -> ServerSpec:
    packaging = Packaging(programs={"server": ("best", "second")})
    return ServerSpec(
        **{"name": "x", "documented_port": 1, "start": ("server", "{data}"), "probe": "a:b"}
        | changes
        | {"packaging": packaging, "files": files}
    )


def content(text: str, folder: str = "config", *, escaped: bool = False) -> str:
    file = ServerFile(folder, "f", text, escaped=escaped)
    return rendering.content(file, spec(file), PLACE, {"password": "a{data}'b"})


def test_placeholders_are_filled_once_and_other_braces_stay():
    assert content("{port} {host} {unknown} {data}") == "4711 127.0.0.1 {unknown} /srv/it's/data"
    assert content("{secret:password}", "secrets") == "a{data}'b"


def test_escaped_files_get_backslashes_in_values_only():
    assert content("'x' '{data}'", escaped=True) == r"'x' '/srv/it\'s/data'"


def test_a_secret_belongs_into_the_folder_of_secrets():
    with pytest.raises(TargetError, match=r"no value for \{secret:password\}"):
        content("{secret:password}")


def test_a_secret_that_is_missing_is_named():
    with pytest.raises(TargetError, match=r"no value for \{secret:other\}") as caught:
        content("{secret:other}", "secrets")
    assert caught.value.path == "secrets/f"


def test_the_best_program_that_is_there_is_taken(tmp_path):
    with pytest.raises(TargetError, match="there is no best or second in this folder"):
        rendering.command(("server",), spec(), PLACE, tmp_path)
    (tmp_path / "second").touch()
    command = rendering.command(("server", "-D{data}", "{binaries}"), spec(), PLACE, tmp_path)
    assert command == [str(tmp_path / "second"), "-D/srv/it's/data", str(tmp_path)]
    (tmp_path / "best").touch()
    assert rendering.command(("server", "{data}"), spec(), PLACE, tmp_path, data=Path("/else"))[1:] == ["/else"]


def test_the_restart_digest_knows_what_is_only_read_at_the_start():
    secrets = {"password": "one"}
    live = ServerFile("config", "live", "a")
    fixed = ServerFile("secrets", "fixed", "{secret:password}", restart=True)
    digest = rendering.restart_digest(spec(live, fixed), PLACE, secrets)
    changed = ServerFile("config", "live", "b")
    assert rendering.restart_digest(spec(changed, fixed), PLACE, secrets) == digest
    assert rendering.restart_digest(spec(live, fixed), PLACE, {"password": "two"}) != digest
    assert rendering.restart_digest(spec(live, fixed, restart_key="k"), PLACE, secrets) != digest
    assert rendering.restart_digest(spec(live, fixed, start=("server", "-x")), PLACE, secrets) != digest
    moved = Placement(PLACE.folder, PLACE.host, 4712, None)
    assert rendering.restart_digest(spec(live, fixed), moved, secrets) != digest
