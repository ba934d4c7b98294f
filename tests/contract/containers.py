"""What tests of containers have in common: a live stack's containers, and data that must outlive what happens to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.clones import Clone
from tests.support.engine import ServerContainer
from tests.support.live import LiveStack

MEBIBYTE = 2**20


def container(live: LiveStack, server: str) -> ServerContainer:
    found = live.server(server)
    assert isinstance(found, ServerContainer)
    return found


def changes_nothing(clone: Clone) -> None:
    clone.up("--expect-no-changes").expect()


def host_of(server: ServerContainer) -> dict[str, Any]:
    found: dict[str, Any] = server.facts["HostConfig"]
    return found


def limits_of(server: ServerContainer) -> tuple[object, ...]:
    host = host_of(server)
    return (*(host[name] for name in ("Memory", "MemorySwap", "NanoCpus", "PidsLimit")), host["RestartPolicy"]["Name"])


DECLARED = {
    "postgres": (1024 * MEBIBYTE, 1024 * MEBIBYTE, 0, 1024, "unless-stopped"),
    "redis": (1024 * MEBIBYTE, 1024 * MEBIBYTE, 0, 128, "unless-stopped"),
}


@contextmanager
def kept(live: LiveStack) -> Iterator[None]:
    """Data that was there before must be there afterwards, in both servers. A failure is not left to the next test."""
    with live.as_cache_client() as cache:
        cache.set("kept", "yes")
        cache.save()
    live.insert_user("kept@example.com")
    try:
        yield
    except BaseException:
        live.clone.up()
        _users_forgotten(live)
        raise
    assert _users_forgotten(live.fresh()) == 1
    with live.fresh().as_cache_client() as cache:
        assert cache.get("kept") == "yes"
        cache.delete("kept")


def _users_forgotten(live: LiveStack) -> int:
    with live.as_application() as connection:
        return connection.execute("DELETE FROM users WHERE email = 'kept@example.com'").rowcount
