"""Log messages to the Pulumi engine: they appear on their resource, in the terminal and in `--json`."""

from __future__ import annotations

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from infra.redaction import redact

LOG_SECONDS = 5.0
"""A message that cannot be delivered in this time is dropped: a message must not stop a repair."""


class EngineLog:
    """Writes redacted messages to the engine at `address` (host:port)."""

    def __init__(self, address: str) -> None:
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def info(self, urn: str, text: str) -> None:
        """A permanent line on the resource; nothing when the text is empty."""
        self._send(urn, text, engine_pb2.INFO)

    def warning(self, urn: str, text: str) -> None:
        """A permanent warning on the resource."""
        self._send(urn, text, engine_pb2.WARNING)

    def progress(self, urn: str, text: str) -> None:
        """A progress line on the resource, replaced by the next one."""
        self._send(urn, text, engine_pb2.INFO, ephemeral=True)

    def _send(
        self, urn: str, text: str, severity: engine_pb2.LogSeverity.ValueType, *, ephemeral: bool = False
    ) -> None:
        if not text:
            return
        request = engine_pb2.LogRequest(severity=severity, message=redact(text), urn=urn, ephemeral=ephemeral)
        try:
            self._engine.Log(request, timeout=LOG_SECONDS)
        except grpc.RpcError:
            return
