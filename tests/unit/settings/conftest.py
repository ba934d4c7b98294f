"""Settings as they are written, and how wrong ones are refused."""

from __future__ import annotations

from typing import Any

import pytest

from infra.errors import SettingsError
from infra.settings.loading import parse

STRONG = "k7#Vq2!xTz9@Lm4$Rw8^Yb3&Nc6*Hd1("
CIRCLE = {
    "circleSandboxApiKey": "TEST_API_KEY:9f1c27aa:0b7d3e55c1",
    "circleEntitySecret": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
LOGIN = {"address": "registry.example.com", "username": "deploy", "password": "token"}


def refused(stack: str, raw: dict[str, Any]) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        parse(stack, raw)
    return caught.value
