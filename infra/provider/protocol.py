"""The provider's gRPC service; only this file, values.py (property values) and engine.py (messages) know the protocol.

Requests become plain values, handlers do the work, errors become one message without secrets. It implements the protocol
itself (`provider.proto`, with the SDK's generated modules) and does not use the SDK's provider server: that is marked
experimental, and importing it takes half of the plugin's start-up time. Every call runs in its own thread, so a blocking
call delays neither other calls nor Cancel.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.changes import as_dicts, describe
from infra.errors import CirclePayError
from infra.provider.engine import EngineLog
from infra.provider.handler import Handler, Observed, Operation, Values, properties_after, properties_observed
from infra.provider.schema import package_schema
from infra.provider.values import plain_map, wrapped_map
from infra.pulumi_marks import UNKNOWN
from infra.redaction import redact
from infra.tunnels import TunnelError

CALLS_AT_A_TIME = 256
"""More than Pulumi asks for (four for each core, unless `--parallel` says otherwise), so that Cancel never waits its turn."""

MESSAGE_BYTES = 400 * 1024 * 1024
"""The largest message that is accepted, as in Pulumi's own plugins."""

ORPHAN_CHECK_SECONDS = 0.5
"""How often the plugin checks whether Pulumi, its parent, is still running."""

ORPHAN_GRACE_SECONDS = 30.0
"""How long running operations may take to finish after Pulumi was killed, before the plugin exits."""


class CirclePayProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Answers the engine's calls with the handler of the resource's type. Other calls are answered as unimplemented."""

    def __init__(self, handlers: Mapping[str, Handler], version: str, log: EngineLog) -> None:
        self._handlers = handlers
        self._version = version
        self._log = log
        self.cancelled = threading.Event()
        self._importing = threading.Lock()

    def _handler(self, urn: str) -> Handler:
        token = urn.split("::")[2].rpartition("$")[2]
        if token not in self._handlers:
            raise CirclePayError("look up resource type", token, "this provider has no such type")
        return self._handlers[token]

    def _import_for(self, handler: Handler, values: Values) -> None:
        """Imports what the handler needs, in one thread at a time.

        Two threads that meet in a package and in a module of it wait for each other (`_DeadlockError`): the one holds the
        package's lock and wants the module's, the other the other way round. psycopg, docker and importlib.resources are such.
        """
        with self._importing:
            for name in handler.modules(values):
                importlib.import_module(name)

    def _operation(self, urn: str) -> Operation:
        return Operation(
            cancelled=self.cancelled,
            progress=lambda text: self._log.progress(urn, text),
            warn=lambda text: self._log.warning(urn, text),
        )

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._version)

    def GetSchema(self, request: provider_pb2.GetSchemaRequest, context: Any) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=package_schema(self._handlers.values(), self._version))

    def CheckConfig(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:
        # The engine compares by itself. If told that nothing differs, it would keep the configuration from the state, which
        # may hold a secret that has been replaced since.
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_UNKNOWN)

    def Configure(self, request: provider_pb2.ConfigureRequest, context: Any) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:
        handler = self._handler(request.urn)
        inputs = plain_map(request.news)
        failures = _shape_failures(handler, inputs)
        before = handler.upgraded(plain_map(request.olds))
        failures = failures or (handler.unchangeable(before, inputs) if before else {}) or handler.check(inputs)
        return provider_pb2.CheckResponse(
            inputs=wrapped_map(inputs, handler.properties()),
            failures=[
                provider_pb2.CheckFailure(property=name, reason=redact(reason)) for name, reason in failures.items()
            ],
        )

    def Diff(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:
        handler = self._handler(request.urn)
        detailed = detailed_difference(handler, handler.upgraded(plain_map(request.olds)), plain_map(request.news))
        answer = provider_pb2.DiffResponse
        return answer(
            changes=answer.DIFF_SOME if detailed else answer.DIFF_NONE,
            diffs=list(detailed),
            replaces=[name for name, item in detailed.items() if item.kind == provider_pb2.PropertyDiff.UPDATE_REPLACE],
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    def Create(self, request: provider_pb2.CreateRequest, context: Any) -> provider_pb2.CreateResponse:
        handler = self._handler(request.urn)
        inputs = plain_map(request.properties)
        if request.preview:
            properties = self._previewed(handler, request.urn, inputs, None)
            return provider_pb2.CreateResponse(properties=wrapped_map(properties, handler.properties()))
        properties = self._converged(handler, request.urn, inputs, None)
        return provider_pb2.CreateResponse(
            id=handler.identity(inputs), properties=wrapped_map(properties, handler.properties())
        )

    def Update(self, request: provider_pb2.UpdateRequest, context: Any) -> provider_pb2.UpdateResponse:
        handler = self._handler(request.urn)
        inputs, state = plain_map(request.news), handler.upgraded(plain_map(request.olds))
        act = self._previewed if request.preview else self._converged
        properties = act(handler, request.urn, inputs, state)
        return provider_pb2.UpdateResponse(properties=wrapped_map(properties, handler.properties()))

    def Read(self, request: provider_pb2.ReadRequest, context: Any) -> provider_pb2.ReadResponse:
        handler = self._handler(request.urn)
        state = handler.upgraded(plain_map(request.properties))
        if not state:
            inputs, outputs = handler.imported(request.id)
            properties = {
                **outputs,
                **inputs,
                "revision": "imported",
                "changedAt": "",
                "changes": [],
                "drift": [],
                "findings": [],
            }
            return provider_pb2.ReadResponse(
                id=handler.identity(inputs),
                properties=wrapped_map(properties, handler.properties()),
                inputs=wrapped_map(inputs, handler.properties()),
            )
        self._import_for(handler, state)
        try:
            observed = handler.observe(state, self._operation(request.urn))
        except TunnelError as error:
            # The real state is unknown, and an `up` must still be able to start and repair everything else.
            self._log.warning(request.urn, error.message)
            observed = Observed()
        if observed is None:
            return provider_pb2.ReadResponse()
        properties = properties_observed(state, observed)
        return provider_pb2.ReadResponse(
            id=request.id, properties=wrapped_map(properties, handler.properties()), inputs=request.inputs
        )

    def Delete(self, request: provider_pb2.DeleteRequest, context: Any) -> empty_pb2.Empty:
        handler = self._handler(request.urn)
        state = handler.upgraded(plain_map(request.properties))
        self._import_for(handler, state)
        handler.delete(state, self._operation(request.urn))
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: Any) -> empty_pb2.Empty:
        self.cancelled.set()
        return empty_pb2.Empty()

    def _converged(self, handler: Handler, urn: str, inputs: Values, state: Values | None) -> dict[str, Any]:
        self._import_for(handler, inputs)
        converged = handler.converge(inputs, state, self._operation(urn))
        properties = properties_after(inputs, converged)
        self._log.info(urn, "\n".join(describe(change) for change in properties["changes"]))
        return properties

    def _previewed(self, handler: Handler, urn: str, inputs: Values, state: Values | None) -> dict[str, Any]:
        self._import_for(handler, inputs)
        changes = as_dicts(handler.plan(inputs, state, self._operation(urn)))
        self._log.info(urn, "\n".join(describe(change) for change in changes))
        outputs: dict[str, Any] = dict.fromkeys([*handler.outputs, "revision", "changedAt"], UNKNOWN)
        if state is not None:
            kept = handler.stable if changes else handler.outputs.keys()
            outputs.update({name: state[name] for name in kept if name in state})
            outputs.update(handler.foreseen(inputs, state) if changes else {})
        outputs.update({"changes": changes, "drift": [], "findings": (state or {}).get("findings", [])})
        return {**inputs, **outputs}


def _shape_failures(handler: Handler, inputs: Values) -> dict[str, str]:
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
        "object": (dict,),
        "array": (list,),
    }
    failures = {name: "is not a property of this resource" for name in inputs if name not in handler.inputs}
    for name, item in handler.inputs.items():
        value = inputs.get(name)
        if value is None:
            if item.required:
                failures[name] = "is required"
        elif value != UNKNOWN and not _is_of_kind(value, kinds[item.kind]):
            failures[name] = f"must be of type {item.kind}, not {type(value).__name__}"
    return failures


def _is_of_kind(value: Any, kinds: tuple[type, ...]) -> bool:
    """In Python a bool is an int; as a property it is not."""
    return isinstance(value, kinds) and (not isinstance(value, bool) or kinds == (bool,))


def detailed_difference(handler: Handler, state: Values, inputs: Values) -> dict[str, provider_pb2.PropertyDiff]:
    """The properties that differ: inputs from the state, and `drift` when there is any. Pure."""
    difference = provider_pb2.PropertyDiff
    detailed = {}
    for name, item in handler.inputs.items():
        if state.get(name) != inputs.get(name):
            kind = difference.UPDATE_REPLACE if item.replaces else difference.UPDATE
            detailed[name] = difference(kind=kind, inputDiff=True)
    if state.get("drift"):
        detailed["drift"] = difference(kind=difference.UPDATE, inputDiff=False)
    return detailed


class ClearErrors(grpc.ServerInterceptor):
    """Turns any exception of a handler into one message without secrets."""

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        method = continuation(details)
        if method is None or method.unary_unary is None:
            return method
        inner = method.unary_unary

        def guarded(request: Any, context: Any) -> Any:
            try:
                return inner(request, context)
            except CirclePayError as error:
                code, text = grpc.StatusCode.FAILED_PRECONDITION, error.message
            except NotImplementedError as error:
                code, text = grpc.StatusCode.UNIMPLEMENTED, str(error)
            except BaseException as error:
                # A call whose exception is not handled here is never answered, and the engine waits forever.
                code, text = grpc.StatusCode.INTERNAL, _unexpected(error)
            return context.abort(code, redact(text))

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=method.request_deserializer,
            response_serializer=method.response_serializer,
        )


def _unexpected(error: BaseException) -> str:
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"unexpected {type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno}: {error}"


def _watch_parent(stop_requests: queue.SimpleQueue[int]) -> None:
    """A killed Pulumi leaves its plugins running: asks this one to stop, and exits when that takes too long."""
    parent = os.getppid()

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(ORPHAN_CHECK_SECONDS)
        stop_requests.put(signal.SIGTERM)
        pause.wait(ORPHAN_GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


def serve(handlers: Mapping[str, Handler], version: str, engine_address: str) -> None:
    """Runs the plugin until the engine ends it; prints the port it listens on, as the protocol requires."""
    stop_requests: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: stop_requests.put(number))
    provider = CirclePayProvider(handlers, version, EngineLog(engine_address))
    _watch_parent(stop_requests)
    server = grpc.server(
        futures.ThreadPoolExecutor(CALLS_AT_A_TIME, thread_name_prefix="call"),
        interceptors=[ClearErrors()],
        options=[("grpc.max_receive_message_length", MESSAGE_BYTES)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    stop_requests.get()
    # Running operations are cancelled and may finish their current step.
    provider.cancelled.set()
    server.stop(ORPHAN_GRACE_SECONDS).wait()
