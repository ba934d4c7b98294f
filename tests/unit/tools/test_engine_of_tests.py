"""Where no engine answers, tests that need one skip, and no other test fails for what the attempt left."""

from __future__ import annotations

import gc
import warnings

import pytest
from docker.errors import DockerException

from tests.support import engine


def test_an_engine_that_does_not_answer_leaves_no_open_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    engine._connected.cache_clear()
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with pytest.raises(DockerException):
                engine.client()
            gc.collect()
    finally:
        engine._connected.cache_clear()
    assert [str(warning.message) for warning in seen if warning.category is ResourceWarning] == []
