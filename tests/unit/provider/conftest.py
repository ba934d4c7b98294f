"""The plugin as Pulumi starts it, spoken to over its own protocol."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc


class Engine(engine_pb2_grpc.EngineServicer):
    """The engine's end: keeps every message the plugin logs."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def Log(self, request: engine_pb2.LogRequest, context: Any) -> empty_pb2.Empty:  # noqa: N802
        self.messages.append(request.message)
        return empty_pb2.Empty()


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[Engine, str]]:
    """A listening engine and its address."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    servicer = Engine()
    engine_pb2_grpc.add_EngineServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None)


@contextmanager
def started(engine_address: str, *program: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A plugin of its own, or what Python is told to run for one, and a stub of it; killed at the end."""
    argv = [sys.executable, *(program or ("-m", "infra.provider")), engine_address]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            yield process, provider_pb2_grpc.ResourceProviderStub(channel)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def plugin(engine: tuple[Engine, str]) -> Iterator[Any]:
    """A stub of the running plugin."""
    with started(engine[1]) as (_, stub):
        yield stub
