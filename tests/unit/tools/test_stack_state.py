"""What a stack's state file says: what it has, and what was begun and never ended."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tools import stack_state

STACK = {"urn": "urn:pulumi:local::circlepay::pulumi:pulumi:Stack::circlepay-local", "type": "pulumi:pulumi:Stack"}
SERVER = {"urn": "urn:pulumi:local::circlepay::circlepay:index:Server::postgres", "type": "circlepay:index:Server"}


def _write(path: Path, latest: object, *, compressed: bool = False) -> Path:
    text = json.dumps({"version": 3, "checkpoint": {"stack": "local", "latest": latest}}).encode()
    if compressed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(text))
    else:
        path.write_bytes(text)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_begun_operations_are_named(tmp_path: Path, compressed: bool) -> None:
    latest = {"resources": [STACK], "pending_operations": [{"resource": SERVER, "type": "creating"}]}
    assert stack_state.pending(_write(tmp_path / "local.json", latest, compressed=compressed)) == [SERVER["urn"]]


@pytest.mark.parametrize("latest", [None, {}, {"resources": [STACK]}, {"pending_operations": None}])
def test_a_stack_at_rest_has_none(tmp_path: Path, latest: object) -> None:
    path = _write(tmp_path / "local.json", latest)
    assert stack_state.pending(path) == []
    assert stack_state.resources(path) == []


def test_no_state_is_nothing(tmp_path: Path) -> None:
    assert stack_state.resources(tmp_path / "local.json") == []


def test_the_stack_itself_is_no_resource_of_it(tmp_path: Path) -> None:
    assert stack_state.resources(_write(tmp_path / "local.json", {"resources": [STACK, SERVER]})) == [SERVER["urn"]]


@pytest.mark.parametrize("torn", [b"", b'{"checkpoint": {"latest'])
def test_a_state_torn_by_a_kill_is_the_one_before_it_again(tmp_path: Path, torn: bytes) -> None:
    state, before = tmp_path / "local.json", tmp_path / "local.json.bak"
    state.write_bytes(torn)
    before.write_text('{"checkpoint": {}}')
    assert len(stack_state.mend(state)) == 1
    assert state.read_text() == '{"checkpoint": {}}'
    assert stack_state.mend(state) == []


def test_torn_attributes_are_removed_and_whole_ones_stay(tmp_path: Path) -> None:
    state = tmp_path / "local.json"
    state.write_text('{"checkpoint": {}}')
    attributes = tmp_path / "local.json.attrs"
    attributes.write_text("{}")
    assert stack_state.mend(state) == []
    attributes.write_text("")
    assert len(stack_state.mend(state)) == 1
    assert not attributes.exists()
    assert state.exists()


def test_a_torn_state_with_nothing_before_it_is_left_to_pulumi_to_complain_about(tmp_path: Path) -> None:
    state = tmp_path / "local.json"
    state.touch()
    assert stack_state.mend(state) == []
    assert state.exists()
