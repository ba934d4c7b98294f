"""Connections that cannot be had say why and what to do, and never a password."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.endpoint import Endpoint
from infra.errors import ServerError
from infra.operations import connections
from infra.operations.stack import StackView
from tests.support import live_servers


@pytest.mark.parametrize("server", ["postgres", "redis"])
@pytest.mark.parametrize("broken", ["port", "password"])
def test_refusal_is_clear(view: StackView, server: str, broken: str) -> None:
    login = view.admin_login() if server == "postgres" else view.redis_login()
    change: dict[str, Any] = {"password": "not-the-password"}
    if broken == "port":
        change = {"endpoint": Endpoint("127.0.0.1", live_servers.free_port())}
    connect = connections.postgres if server == "postgres" else connections.redis
    login = replace(login, **change)
    with pytest.raises(ServerError) as caught, connect(login):
        pass
    assert caught.value.path == str(login.endpoint)
    assert caught.value.operation == f"connect to {server}"
    assert login.password not in caught.value.message
    assert "make up" in caught.value.hint
