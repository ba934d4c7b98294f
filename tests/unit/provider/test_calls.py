"""Each call of the protocol, answered for a resource type made for it: what the engine gets back, and what reaches a handler."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from infra.changes import Change
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values
from infra.provider.protocol import CirclePayProvider
from infra.provider.values import SIGNATURE, UNKNOWN, plain_map, wrapped_map
from infra.tunnels import TunnelError
from tests.support.placements import wait_until
from tests.unit.provider.conftest import started

TOKEN = "circlepay:index:Example"
URN = f"urn:pulumi:test::circlepay::circlepay:index:Parent${TOKEN}::a name::with colons"
SECRET = "a-secret-of-the-calls"
INPUTS = {"name": "one", "password": SECRET}
NOBODY: Any = None
PATIENCE = 10.0


class Example(Handler):
    """Does what its name asks for."""

    token = TOKEN
    inputs: ClassVar = {"name": Property("string", ""), "password": Property("string", "", secret=True)}
    outputs: ClassVar = {"place": Property("string", ""), "seen": Property("string", "")}
    stable = frozenset({"place"})

    def __init__(self) -> None:
        self.states: list[Values | None] = []
        self.deleted: list[Values] = []

    def identity(self, inputs: Values) -> str:
        return f"id of {inputs['name']}"

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        self.states.append(state)
        return [] if inputs["name"] == "as declared" else [Change("example", "set", "it was asked for")]

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        self.states.append(state)
        if inputs["name"] == "patient":
            operation.progress("waiting")
            assert operation.cancelled.wait(PATIENCE)
        if inputs["name"] == "exits":
            raise SystemExit(3)
        return Converged({"place": "here", "seen": "now"}, [Change("example", "set", "it was asked for")])

    def observe(self, state: Values, operation: Operation) -> Observed | None:
        if state["name"] == "gone":
            return None
        if state["name"] == "unreachable":
            raise TunnelError("look", "elsewhere", "there is no way")
        return Observed({"seen": "later"}, drift=[Change("example", "set", "it drifted")])

    def delete(self, state: Values, operation: Operation) -> None:
        self.deleted.append(state)

    def imported(self, name: str) -> tuple[Values, Values]:
        return {"name": name, "password": SECRET}, {"place": "here", "seen": "now"}


class Log:
    """What was said to the engine."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.info, self.warning, self.progress = (self._sayer(kind) for kind in ("info", "warning", "progress"))

    def _sayer(self, kind: str) -> Callable[[str, str], None]:
        return lambda urn, text: self.said.append((kind, text)) if urn == URN else pytest.fail(urn)


@pytest.fixture
def handler() -> Example:
    return Example()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def provider(handler: Example, log: Any) -> CirclePayProvider:
    return CirclePayProvider({TOKEN: handler}, "1", log)


def written(values: Values) -> Any:
    return wrapped_map(values, Example.properties())


def state(**changed: Any) -> dict[str, Any]:
    common = {"revision": "before", "changedAt": "then", "changes": [], "drift": [], "findings": ["kept"]}
    return {**INPUTS, "place": "here", "seen": "then", **common, **changed}


def test_a_created_resource_has_its_inputs_outputs_and_a_revision(provider: CirclePayProvider, log: Log) -> None:
    answer = provider.Create(provider_pb2.CreateRequest(urn=URN, properties=written(INPUTS)), NOBODY)
    made = plain_map(answer.properties)
    assert answer.id == "id of one"
    assert made | {"revision": "", "changedAt": ""} == state(
        revision="", changedAt="", seen="now", findings=[], changes=made["changes"]
    )
    assert made["revision"] != "before"
    assert answer.properties.fields["password"].struct_value.fields[SIGNATURE].string_value
    assert [kind for kind, _ in log.said] == ["info"]


def test_an_update_is_given_the_state_and_makes_a_new_revision(provider: CirclePayProvider, handler: Example) -> None:
    request = provider_pb2.UpdateRequest(urn=URN, id="id of one", olds=written(state()), news=written(INPUTS))
    made = plain_map(provider.Update(request, NOBODY).properties)
    assert handler.states == [state()]
    assert (made["seen"], made["findings"]) == ("now", [])
    assert made["revision"] != "before"


@pytest.mark.parametrize(("name", "seen", "revision"), [("other", UNKNOWN, UNKNOWN), ("as declared", "then", UNKNOWN)])
def test_a_previewed_update_keeps_what_it_cannot_change(
    provider: CirclePayProvider, handler: Example, name: str, seen: str, revision: str
) -> None:
    news = {**INPUTS, "name": name}
    request = provider_pb2.UpdateRequest(urn=URN, olds=written(state()), news=written(news), preview=True)
    shown = plain_map(provider.Update(request, NOBODY).properties)
    assert handler.states == [state()]
    assert (shown["place"], shown["seen"], shown["revision"]) == ("here", seen, revision)
    assert (shown["name"], shown["findings"]) == (name, ["kept"])


def test_a_previewed_creation_knows_its_inputs_only(provider: CirclePayProvider) -> None:
    request = provider_pb2.CreateRequest(urn=URN, properties=written(INPUTS), preview=True)
    answer = provider.Create(request, NOBODY)
    shown = plain_map(answer.properties)
    assert answer.id == ""
    assert {name for name, value in shown.items() if value == UNKNOWN} == {"place", "seen", "revision", "changedAt"}


def test_what_is_read_is_the_state_with_what_was_seen(provider: CirclePayProvider) -> None:
    request = provider_pb2.ReadRequest(
        urn=URN, id="id of one", properties=written(state()), inputs=written({**INPUTS, "name": "as it was"})
    )
    answer = provider.Read(request, NOBODY)
    read = plain_map(answer.properties)
    assert answer.id == "id of one"
    assert read == state(seen="later", drift=read["drift"])
    assert [each["reason"] for each in read["drift"]] == ["it drifted"]
    assert answer.inputs == request.inputs


def test_what_is_gone_has_no_id(provider: CirclePayProvider) -> None:
    request = provider_pb2.ReadRequest(urn=URN, id="x", properties=written(state(name="gone")))
    assert provider.Read(request, NOBODY) == provider_pb2.ReadResponse()


def test_what_cannot_be_reached_stays_as_it_was_and_is_warned_of(provider: CirclePayProvider, log: Log) -> None:
    unreachable = state(name="unreachable")
    request = provider_pb2.ReadRequest(urn=URN, id="x", properties=written(unreachable))
    answer = provider.Read(request, NOBODY)
    assert (answer.id, plain_map(answer.properties)) == ("x", unreachable)
    assert [kind for kind, _ in log.said] == ["warning"]


def test_what_is_imported_has_state_and_inputs(provider: CirclePayProvider) -> None:
    answer = provider.Read(provider_pb2.ReadRequest(urn=URN, id="there"), NOBODY)
    assert answer.id == "id of there"
    assert plain_map(answer.inputs) == {"name": "there", "password": SECRET}
    assert answer.inputs.fields["password"].struct_value.fields[SIGNATURE].string_value
    assert plain_map(answer.properties)["place"] == "here"


def test_a_deletion_is_given_the_state(provider: CirclePayProvider, handler: Example) -> None:
    provider.Delete(provider_pb2.DeleteRequest(urn=URN, id="x", properties=written(state())), NOBODY)
    assert handler.deleted == [state()]


def test_the_configuration_is_taken_and_compared_by_the_engine(provider: CirclePayProvider) -> None:
    """Said to be the same, it would stay in the state as it was: secrets that were replaced among it."""
    news = wrapped_map({"version": "2"}, {})
    checked = provider.CheckConfig(provider_pb2.CheckRequest(news=news), NOBODY)
    assert (checked.inputs, list(checked.failures)) == (news, [])
    difference = provider.DiffConfig(provider_pb2.DiffRequest(news=news), NOBODY)
    assert difference.changes == provider_pb2.DiffResponse.DIFF_UNKNOWN
    assert not difference.replaces


def test_cancel_reaches_what_runs(provider: CirclePayProvider) -> None:
    request = provider_pb2.CreateRequest(urn=URN, properties=written({**INPUTS, "name": "patient"}))
    answers: list[Any] = []
    running = threading.Thread(target=lambda: answers.append(provider.Create(request, NOBODY)))
    running.start()
    provider.Cancel(empty_pb2.Empty(), NOBODY)
    running.join(PATIENCE / 2)
    assert [answer.id for answer in answers] == ["id of patient"]


def test_a_signal_reaches_what_runs_and_what_exits_is_answered(engine: Any) -> None:
    """In a process of its own, as Pulumi ends it."""
    code = (
        "import sys; from infra.provider.protocol import serve; from tests.unit.provider.test_calls import TOKEN, Example;"
        " serve({TOKEN: Example()}, '1', sys.argv[1])"
    )
    with started(engine[1], "-c", code) as (process, stub):

        def creation(name: str) -> provider_pb2.CreateRequest:
            return provider_pb2.CreateRequest(urn=URN, properties=written({**INPUTS, "name": name}))

        with pytest.raises(grpc.RpcError) as raised:
            stub.Create(creation("exits"), timeout=PATIENCE / 2)
        assert raised.value.code() is grpc.StatusCode.INTERNAL
        assert "unexpected SystemExit" in raised.value.details()
        waiting = stub.Create.future(creation("patient"))
        wait_until(lambda: "waiting" in engine[0].messages)
        process.terminate()
        assert waiting.result(timeout=PATIENCE / 2).id == "id of patient"
        assert process.wait(timeout=PATIENCE / 2) == 0
