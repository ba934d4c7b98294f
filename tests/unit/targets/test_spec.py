from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from infra.endpoint import Endpoint
from infra.targets.spec import Answer, ServerSpec
from tests.support.dummy_product import spec


def test_a_spec_crosses_the_engine_as_json() -> None:
    assert ServerSpec.from_json(json.loads(json.dumps(spec().to_json()))) == spec()


def test_numbers_that_come_back_as_floats_are_numbers() -> None:
    value = json.loads(json.dumps(spec().to_json()))
    value["documented_port"] = 21000.0
    assert ServerSpec.from_json(value).documented_port == 21000


def test_what_is_no_spec_is_refused() -> None:
    with pytest.raises((KeyError, TypeError)):
        ServerSpec.from_json({"name": "x"})
    with pytest.raises(TypeError):
        ServerSpec.from_json({**spec().to_json(), "surprise": 1})


def test_the_probe_gets_its_arguments() -> None:
    probing = replace(spec(), probe="tests.unit.targets.test_spec:echo", probe_arguments={"superuser": "me"})
    told = probing.load_probe()(Endpoint("127.0.0.1", 1), {}, 1.0, files={"a": "b"})
    assert told.version == "me b"
    mending = replace(probing, credentials_input="tests.unit.targets.test_spec:statement")
    assert mending.credentials_text({"password": "p"}) == "me p"


def echo(_endpoint: object, _secrets: object, _timeout: float, *, superuser: str, files: Mapping[str, str]) -> Answer:
    return Answer(f"{superuser} {files['a']}")


def statement(secrets: Mapping[str, str], *, superuser: str) -> str:
    return f"{superuser} {secrets['password']}"
