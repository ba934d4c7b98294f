from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import TargetError
from infra.targets import rendering
from infra.targets.location import placeholders_below
from infra.targets.spec import Packaging, ServerFile, ServerSpec

PLACES = placeholders_below(Path("/srv/it's"), "127.0.0.1", 4711)
SPEC = ServerSpec("x", 1, ("server", "{data}"), "a:b", Packaging(programs={"server": ("best", "second")}))


def content(text: str, folder: str = "config", *, escaped: bool = False) -> str:
    file = ServerFile(folder, "f", text, escaped=escaped)
    return rendering.text(file, replace(SPEC, files=(file,)), PLACES, {"password": "a{data}'b"})


def test_placeholders_are_filled_once_and_other_braces_stay() -> None:
    assert content("{port} {host} {unknown} {data}") == "4711 127.0.0.1 {unknown} /srv/it's/data"
    assert content("{secret:password}", "secrets") == "a{data}'b"


def test_escaped_files_get_backslashes_in_values_only() -> None:
    assert content("'x' '{data}'", escaped=True) == r"'x' '/srv/it\'s/data'"


def test_a_secret_belongs_into_the_folder_of_secrets() -> None:
    with pytest.raises(TargetError, match=r"no value for \{secret:password\}"):
        content("{secret:password}")


def test_a_secret_that_is_missing_is_named() -> None:
    with pytest.raises(TargetError, match=r"no value for \{secret:other\}") as caught:
        content("{secret:other}", "secrets")
    assert caught.value.path == "secrets/f"


def test_words_of_a_command_are_filled_and_a_placeholder_without_a_value_is_named() -> None:
    assert rendering.filled(("-D{data}", "{port}", "{unknown}"), PLACES) == ["-D/srv/it's/data", "4711", "{unknown}"]
    with pytest.raises(KeyError, match="binaries"):
        rendering.filled(("{binaries}",), PLACES)
