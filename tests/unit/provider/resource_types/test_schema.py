"""Migrations that cannot be applied are told in the preview of a stack whose server does not run yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.errors import MigrationError
from infra.provider.resource_types.schema import Schema
from infra.pulumi_marks import UNKNOWN
from tests.support.round_trips import OPERATION


def _inputs(folder: Path) -> dict[str, Any]:
    (folder / "migrations").mkdir()
    (folder / "migrations" / "0001_a.sql").write_text("CREATE TABLE x ();\n-- migrate:down\nDROP TABLE x;\n")
    return {"connection": {"port": UNKNOWN}, "folder": str(folder)}


def test_a_preview_without_a_server_refuses_what_up_would_refuse(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="dbmate") as caught:
        Schema().plan(_inputs(tmp_path), None, OPERATION)
    assert caught.value.path.endswith("0001_a.sql:2:1")


def test_what_may_have_been_applied_is_compared_once_the_server_answers(tmp_path: Path) -> None:
    (change,) = Schema().plan(_inputs(tmp_path), {"revision": "1"}, OPERATION)
    assert change.action == "create"
