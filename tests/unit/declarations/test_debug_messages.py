"""Debug messages of Pulumi's SDK lose the values they would show."""

from __future__ import annotations

import pulumi
import pytest

from infra.declarations.debug_messages import hide_values, without_values


def test_values_are_cut_off_and_nothing_else() -> None:
    assert without_values("registered: urn=x, props=fields { secret }") == "registered: urn=x, props=[not shown]"
    assert without_values("beginning rpc") == "beginning rpc"


def test_every_message_of_the_program_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "debug", lambda msg, *_: told.append(msg))
    hide_values()
    pulumi.log.debug("outputs prepared: props=secret")
    assert told == ["outputs prepared: props=[not shown]"]
