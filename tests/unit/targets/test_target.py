"""Every folder beside target.py is a target, and has all that one is."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from infra.targets import target as targets
from infra.targets.target import Target

FOLDER = Path(targets.__file__).parent
PROMISED = sorted({*Target.__annotations__, *(name for name in vars(Target) if not name.startswith("_"))})
METHODS = [name for name in PROMISED if inspect.isfunction(vars(Target).get(name))]


def test_every_folder_is_a_target() -> None:
    found = sorted(path.parent.name for path in FOLDER.glob("*/__init__.py"))
    assert found
    assert targets.names() == found


@pytest.mark.parametrize("name", targets.names())
def test_a_target_has_all_that_is_promised(name: str) -> None:
    target = targets.load(name)
    assert {each for each in PROMISED if not hasattr(target, each)} == set()
    assert {each for each in METHODS if _parameters(target, each) != _parameters(Target, each)} == set()
    assert {"claim", "machine", "fixed", "former_types"} <= set(PROMISED)


def _parameters(owner: object, name: str) -> list[tuple[str, inspect._ParameterKind]]:
    found = inspect.signature(getattr(owner, name)).parameters.values()
    return [(each.name, each.kind) for each in found if each.name != "self"]


@pytest.mark.parametrize("name", targets.names())
def test_what_a_target_says_of_itself_fits(name: str) -> None:
    target = targets.load(name)
    assert set(target.former_names.values()) <= set(target.former_types)
    assert set(target.former_types.values()) <= {"ServerLocation", "Server"}
    assert target.checks is None or target.checks.is_dir()
    assert {each for each in target.fixed.values() if not each} == set()


@pytest.mark.parametrize("name", targets.names())
def test_what_another_release_or_target_wrote_is_none_of_a_targets(name: str) -> None:
    target = targets.load(name)
    assert target.former_location({"server": "dummy"}) is None
    assert target.former_server({"server": "dummy"}) is None


def test_no_earlier_type_has_two_targets() -> None:
    former = [each for name in targets.names() for each in targets.load(name).former_types]
    assert len(former) == len(set(former))


def test_a_target_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"infra\.targets\.nowhere"):
        targets.load("nowhere")
