"""The plugin's own process: calls stand in nobody's way, and it ends when it is told to."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from infra.provider.resource_types import handlers
from infra.provider.values import wrapped_map
from infra.version import VERSION
from tests.support.placements import wait_until
from tests.unit.provider.conftest import started

URN = "urn:pulumi:test::circlepay::circlepay:index:RedisParameters::{}"
SOON = 5.0
"""Seconds within which a call that waits for nothing is answered, on a busy machine too; a blocked one takes ten."""
BLOCKED = 40
"""More calls than a pool of threads made for the machine's cores would take."""


def creation(port: int, number: int = 0) -> provider_pb2.CreateRequest:
    """A request to set parameters of the Redis at the port."""
    connection = {"host": "127.0.0.1", "port": port, "user": "", "password": "", "database": ""}
    inputs = {"connection": connection, "parameters": {"maxmemory": "1mb"}, "upstream": []}
    properties = wrapped_map(inputs, handlers()["circlepay:index:RedisParameters"].properties())
    return provider_pb2.CreateRequest(urn=URN.format(number), properties=properties)


@contextmanager
def blocked(stub: Any, count: int) -> Iterator[list[Any]]:
    """So many calls, each waiting for a server that takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=count) as silent:
        silent.settimeout(30)
        calls = [stub.Create.future(creation(silent.getsockname()[1], number)) for number in range(count)]
        held = [silent.accept()[0] for _ in calls]
        try:
            yield calls
        finally:
            for connection in held:
                connection.close()
            for call in calls:
                call.exception(timeout=30)


def test_blocked_calls_stop_neither_another_call_nor_cancel(engine: Any) -> None:
    with started(engine[1]) as (_, stub), blocked(stub, BLOCKED) as calls:
        assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=SOON).version == VERSION
        stub.Cancel(empty_pb2.Empty(), timeout=SOON)
        assert not any(call.done() for call in calls)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_what_runs_is_finished(engine: Any, number: signal.Signals) -> None:
    with started(engine[1]) as (process, stub):
        with blocked(stub, 1) as calls:
            process.send_signal(number)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=1)
            assert not calls[0].done()
        assert "127.0.0.1" in calls[0].details()
        assert process.wait(timeout=SOON) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_says_what_it_takes_and_what_it_lacks(engine: Any) -> None:
    with started(engine[1]) as (_, stub):
        configured = stub.Configure(provider_pb2.ConfigureRequest(acceptSecrets=True, acceptResources=True))
        assert (configured.acceptSecrets, configured.supportsPreview) == (True, True)
        assert (configured.acceptOutputs, configured.acceptResources) == (False, False)
        with pytest.raises(grpc.RpcError) as raised:
            stub.Invoke(provider_pb2.InvokeRequest(tok="circlepay:index:nothing"))
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_it_ends_when_pulumi_was_killed() -> None:
    code = (
        "import subprocess, sys, time;"
        " plugin = subprocess.Popen([sys.executable, '-m', 'infra.provider', '127.0.0.1:1'], stdout=subprocess.PIPE);"
        " print(plugin.pid, plugin.stdout.readline(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as pulumi:
        assert pulumi.stdout is not None
        plugin = psutil.Process(int(pulumi.stdout.readline().split()[0]))
        assert plugin.is_running()
        pulumi.kill()
    # Where nobody collects the dead (a container without an init), it stays as a zombie.
    wait_until(lambda: not plugin.is_running() or plugin.status() == psutil.STATUS_ZOMBIE, SOON)
