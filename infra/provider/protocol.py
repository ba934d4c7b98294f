"""The seam to Pulumi: the only module that knows the provider protocol.

The SDK marks `pulumi.provider.experimental` as experimental, so it is pinned and everything that depends on its shape
stands here: requests become plain values, handlers do the work in threads (one blocking call would stop every other call and
Cancel), errors become one clear message without secrets.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from infra.changes import describe, shown
from infra.errors import CirclePayError
from infra.provider.engine import EngineLog
from infra.provider.handler import (
    Handler,
    Observed,
    Operation,
    Values,
    properties_after,
    properties_observed,
)
from infra.provider.schema import package_schema
from infra.provider.values import UNKNOWN, plain_map, wrapped_map
from infra.redaction import redact
from infra.tunnels import TunnelError

ORPHAN_CHECK_SECONDS = 0.5
"""How often the plugin looks whether Pulumi, its parent, still lives."""

ORPHAN_GRACE_SECONDS = 30.0
"""How long running operations may finish after Pulumi was killed, before the plugin ends itself."""


class CirclePayProvider(sdk.Provider):
    """Dispatches the engine's calls to the handler of the resource's type."""

    def __init__(self, handlers: Mapping[str, Handler], version: str, log: EngineLog) -> None:
        self._handlers = handlers
        self._version = version
        self._log = log
        self.cancelled = threading.Event()

    def _handler(self, urn_type: str) -> Handler:
        token = urn_type.rpartition("$")[2]
        if token not in self._handlers:
            raise CirclePayError("look up resource type", token, "this provider has no such type")
        return self._handlers[token]

    def _operation(self, urn: str) -> Operation:
        return Operation(
            cancelled=self.cancelled,
            progress=lambda text: self._log.progress(urn, text),
            warn=lambda text: self._log.warning(urn, text),
        )

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        return sdk.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def get_schema(self, request: sdk.GetSchemaRequest) -> sdk.GetSchemaResponse:
        return sdk.GetSchemaResponse(schema=package_schema(self._handlers.values(), self._version))

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        handler = self._handler(request.type)
        inputs = plain_map(request.new_inputs)
        failures = _shape_failures(handler, inputs) or _fixed_failures(handler, plain_map(request.old_inputs), inputs)
        failures = failures or await asyncio.to_thread(handler.check, inputs)
        return sdk.CheckResponse(
            inputs=wrapped_map(inputs, handler.properties()),
            failures=[sdk.CheckFailure(name, redact(reason)) for name, reason in failures.items()],
        )

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        handler = self._handler(request.type)
        state, inputs = plain_map(request.old_state), plain_map(request.new_inputs)
        detailed = detailed_difference(handler, state, inputs)
        replaced = [name for name, item in detailed.items() if item.kind is sdk.PropertyDiffKind.UPDATE_REPLACE]
        return sdk.DiffResponse(changes=bool(detailed), diffs=list(detailed), replaces=replaced, detailed_diff=detailed)

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        handler = self._handler(request.type)
        inputs = plain_map(request.properties)
        if request.preview:
            return sdk.CreateResponse("", await self._previewed(handler, request.urn, inputs, None))
        properties = await self._converged(handler, request.urn, inputs, None)
        return sdk.CreateResponse(handler.identity(inputs), wrapped_map(properties, handler.properties()))

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        handler = self._handler(request.type)
        inputs, state = plain_map(request.news), plain_map(request.olds)
        if request.preview:
            return sdk.UpdateResponse(await self._previewed(handler, request.urn, inputs, state))
        properties = await self._converged(handler, request.urn, inputs, state)
        return sdk.UpdateResponse(wrapped_map(properties, handler.properties()))

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        handler = self._handler(request.type)
        state = plain_map(request.properties)
        if not state:
            inputs, outputs = await asyncio.to_thread(handler.imported, request.resource_id)
            properties = {
                **outputs,
                **inputs,
                "revision": "imported",
                "changedAt": "",
                "changes": [],
                "drift": [],
                "findings": [],
            }
            return sdk.ReadResponse(
                handler.identity(inputs),
                wrapped_map(properties, handler.properties()),
                wrapped_map(inputs, handler.properties()),
            )
        try:
            observed = await asyncio.to_thread(handler.observe, state, self._operation(request.urn))
        except TunnelError as error:
            # Nobody knows what is there, and an `up` must be able to start that mends the rest.
            self._log.warning(request.urn, error.message)
            observed = Observed()
        if observed is None:
            return sdk.ReadResponse()
        properties = properties_observed(state, observed)
        return sdk.ReadResponse(request.resource_id, wrapped_map(properties, handler.properties()), request.inputs)

    async def delete(self, request: sdk.DeleteRequest) -> None:
        handler = self._handler(request.type)
        await asyncio.to_thread(handler.delete, plain_map(request.properties), self._operation(request.urn))

    async def cancel(self) -> None:
        self.cancelled.set()

    async def _converged(self, handler: Handler, urn: str, inputs: Values, state: Values | None) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            converged = handler.converge(inputs, state, self._operation(urn))
            properties = properties_after(inputs, converged)
            self._log.info(urn, "\n".join(describe(change) for change in properties["changes"]))
            return properties

        return await asyncio.to_thread(work)

    async def _previewed(
        self, handler: Handler, urn: str, inputs: Values, state: Values | None
    ) -> dict[str, PropertyValue]:
        def work() -> dict[str, Any]:
            changes = shown(handler.plan(inputs, state, self._operation(urn)))
            self._log.info(urn, "\n".join(describe(change) for change in changes))
            outputs: dict[str, Any] = dict.fromkeys([*handler.outputs, "revision", "changedAt"], UNKNOWN)
            if state is not None:
                kept = handler.stable if changes else handler.outputs.keys()
                outputs.update({name: state[name] for name in kept if name in state})
            outputs.update({"changes": changes, "drift": [], "findings": (state or {}).get("findings", [])})
            return {**inputs, **outputs}

        return wrapped_map(await asyncio.to_thread(work), handler.properties())


def _shape_failures(handler: Handler, inputs: Values) -> dict[str, str]:
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
        "object": (dict,),
        "array": (list,),
    }
    failures = {name: "is no property of this resource" for name in inputs if name not in handler.inputs}
    for name, item in handler.inputs.items():
        value = inputs.get(name)
        if value is None:
            if item.required:
                failures[name] = "is required"
        elif value != UNKNOWN and not _is_of_kind(value, kinds[item.kind]):
            failures[name] = f"must be of type {item.kind}, not {type(value).__name__}"
    return failures


def _fixed_failures(handler: Handler, before: Values, inputs: Values) -> dict[str, str]:
    changed = {
        name: remedy for name, remedy in handler.fixed.items() if name in before and before[name] != inputs[name]
    }
    return {
        name: f"cannot change from {before[name]!r} to {inputs[name]!r}: {remedy}" for name, remedy in changed.items()
    }


def _is_of_kind(value: Any, kinds: tuple[type, ...]) -> bool:
    """A bool is an int to Python, never to us."""
    return isinstance(value, kinds) and (not isinstance(value, bool) or kinds == (bool,))


def detailed_difference(handler: Handler, state: Values, inputs: Values) -> dict[str, sdk.PropertyDiff]:
    """Which properties differ: inputs against the state, and what was found drifted. Pure."""
    kind = sdk.PropertyDiffKind
    detailed = {}
    for name, item in handler.inputs.items():
        old, new = state.get(name), inputs.get(name)
        if old != new:
            detailed[name] = sdk.PropertyDiff(kind.UPDATE_REPLACE if item.replaces else kind.UPDATE, True)
    if state.get("drift"):
        detailed["drift"] = sdk.PropertyDiff(kind.UPDATE, False)
    return detailed


class ClearErrors(grpc.aio.ServerInterceptor):
    """Turns whatever a handler raises into one message without secrets, instead of the SDK's `Unexpected <class ...>`."""

    async def intercept_service(self, continuation: Callable[..., Awaitable[Any]], details: Any) -> Any:
        method = await continuation(details)
        if method is None or method.unary_unary is None:
            return method
        inner = method.unary_unary

        async def guarded(request: Any, context: Any) -> Any:
            try:
                return await inner(request, context)
            except CirclePayError as error:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, redact(error.message))
            except NotImplementedError as error:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, redact(str(error)))
            except Exception as error:
                await context.abort(grpc.StatusCode.INTERNAL, redact(_unexpected(error)))

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=method.request_deserializer,
            response_serializer=method.response_serializer,
        )


def _unexpected(error: Exception) -> str:
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"unexpected {type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno}: {error}"


def _end_with_parent(cancelled: threading.Event) -> None:
    """A killed Pulumi leaves its plugins running: end with it, after what is running was told to stop."""
    parent = os.getppid()

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(ORPHAN_CHECK_SECONDS)
        cancelled.set()
        pause.wait(ORPHAN_GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


def serve(handlers: Mapping[str, Handler], version: str, engine_address: str) -> None:
    """Runs the plugin until the engine ends it; prints the port it listens on, as the protocol asks."""

    async def run() -> None:
        log = EngineLog(engine_address)
        provider = CirclePayProvider(handlers, version, log)
        _end_with_parent(provider.cancelled)
        server = grpc.aio.server(interceptors=[ClearErrors()], options=_GRPC_CHANNEL_OPTIONS)
        servicer = ProviderServicer([], version, provider, engine_address=engine_address)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await _until_told_to_stop(provider.cancelled)
        await server.stop(ORPHAN_GRACE_SECONDS)

    asyncio.run(run())


async def _until_told_to_stop(cancelled: threading.Event) -> None:
    """Returns when the engine ends this plugin by a signal; what runs is told to stop and may finish."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
    cancelled.set()
