from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from infra.errors import TargetError
from infra.targets import data_format
from infra.targets.spec import DataFormat
from tests.support.dummy_product import spec
from tests.support.placements import Stage, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made


def test_the_programs_tell_their_version(stage):
    place = stage.place(spec())
    assert data_format.program_version(place, spec(), stage.programs(spec())) == "3"


def test_programs_that_do_not_are_an_error(stage):
    place = stage.place(spec())
    strange = replace(spec(), data_format=DataFormat("VERSION", ("server", "--version"), r"version (\d+)"))
    with pytest.raises(TargetError, match=r"no version in its answer: dummy 3\.2"):
        data_format.program_version(place, strange, stage.programs(spec()))


@pytest.mark.parametrize(("content", "fits"), [("3\n", True), ("3", True), ("2\n", False), ("30", False)])
def test_data_fits_its_own_version_only(stage, content, fits):
    place = stage.place(spec())
    place.sub("data").mkdir()
    data_format.check(place, spec(), stage.programs(spec()))
    (place.sub("data") / "VERSION").write_text(content)
    if fits:
        data_format.check(place, spec(), stage.programs(spec()))
    else:
        with pytest.raises(TargetError, match="made by version"):
            data_format.check(place, spec(), stage.programs(spec()))
