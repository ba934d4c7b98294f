from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from infra.targets import process_records
from infra.targets.launch import identity
from infra.targets.process_records import ProcessRecord

MINE = {"pid": os.getpid(), "identity": identity(os.getpid()), "restart_key": "k", "programs": "p", "endpoint": "e"}


def test_a_record_is_read_back(tmp_path):
    path = tmp_path / "process.json"
    path.write_text(json.dumps(MINE))
    assert process_records.read(path) == ProcessRecord(**MINE)


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", json.dumps({**MINE, "pid": "x"}), "null"])
def test_what_is_no_record_is_none(tmp_path, text):
    path = tmp_path / "process.json"
    if text is not None:
        path.write_text(text)
    assert process_records.read(path) is None


def test_only_the_very_same_process_is_alive():
    mine = ProcessRecord(**MINE)
    assert mine.alive
    assert not replace(mine, identity="another-boot/1").alive
    assert not replace(mine, pid=1).alive
    assert not replace(mine, pid=2**22 + 1, identity="").alive
