"""Each call of the protocol, answered for a resource type made for it: what the engine gets back, and what reaches a handler."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from infra.changes import Change
from infra.provider.handler import Converged, Handler, Observed, Operation, Property, Values
from infra.provider.protocol import CirclePayProvider
from infra.provider.values import plain_map, wrapped_map
from infra.pulumi_marks import SIGNATURE, UNKNOWN
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

    def unchangeable(self, before: Values, inputs: Values) -> dict[str, str]:
        return {"name": f"it was {before['name']}"} if before["name"] == "settled" != inputs["name"] else {}

    def upgraded(self, values: Values) -> Values:
        """An earlier release called a name a label."""
        kept = {name: value for name, value in values.items() if name != "label"}
        return {**kept, "name": values["label"]} if "label" in values else values

    def foreseen(self, inputs: Values, state: Values) -> Values:
        return {"seen": "soon"} if inputs["name"] == "foreseen" else {}

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


@pytest.mark.parametrize(
    ("name", "seen", "revision"),
    [("other", UNKNOWN, UNKNOWN), ("as declared", "then", UNKNOWN), ("foreseen", "soon", UNKNOWN)],
)
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


def refused(provider: CirclePayProvider, olds: Values, news: Values) -> dict[str, str]:
    """What a check refuses, by property."""
    answer = provider.Check(provider_pb2.CheckRequest(urn=URN, olds=written(olds), news=written(news)), NOBODY)
    return {failure.property: failure.reason for failure in answer.failures}


def test_an_input_that_cannot_change_is_refused_once_the_resource_is_there(provider: CirclePayProvider) -> None:
    settled = {**INPUTS, "name": "settled"}
    assert refused(provider, settled, INPUTS) == {"name": "it was settled"}
    assert (
        refused(provider, settled, settled) == refused(provider, INPUTS, settled) == refused(provider, {}, INPUTS) == {}
    )
    assert refused(provider, settled, {**INPUTS, "bogus": "x"}) == {"bogus": "is not a property of this resource"}


def of_an_earlier_release(name: str = "one") -> dict[str, Any]:
    """A state as an earlier release wrote it."""
    return {**{key: value for key, value in state().items() if key != "name"}, "label": name}


def test_every_call_is_given_the_state_as_this_release_writes_it(provider: CirclePayProvider, handler: Example) -> None:
    before = written(of_an_earlier_release())
    update = provider_pb2.UpdateRequest(urn=URN, id="x", olds=before, news=written(INPUTS))
    provider.Update(update, NOBODY)
    update.preview = True
    provider.Update(update, NOBODY)
    provider.Delete(provider_pb2.DeleteRequest(urn=URN, id="x", properties=before), NOBODY)
    assert [*handler.states, *handler.deleted] == [state(), state(), state()]
    assert refused(provider, of_an_earlier_release("settled"), INPUTS) == {"name": "it was settled"}


def test_a_state_of_an_earlier_release_is_compared_and_read_as_this_one_writes_it(provider: CirclePayProvider) -> None:
    before = written(of_an_earlier_release())
    request = provider_pb2.DiffRequest(urn=URN, id="x", olds=before, news=written(INPUTS))
    assert provider.Diff(request, NOBODY).changes == provider_pb2.DiffResponse.DIFF_NONE
    request = provider_pb2.DiffRequest(urn=URN, id="x", olds=before, news=written({**INPUTS, "name": "two"}))
    assert list(provider.Diff(request, NOBODY).diffs) == ["name"]
    answer = provider.Read(provider_pb2.ReadRequest(urn=URN, id="x", properties=before), NOBODY)
    read = plain_map(answer.properties)
    assert read == state(seen="later", drift=read["drift"])


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
        assert "unexpected SystemExit" in (raised.value.details() or "")
        waiting = stub.Create.future(creation("patient"))
        wait_until(lambda: "waiting" in engine[0].messages)
        process.terminate()
        assert waiting.result(timeout=PATIENCE / 2).id == "id of patient"
        assert process.wait(timeout=PATIENCE / 2) == 0


class SlowFinder(MetaPathFinder):
    """Takes its time with the package, so that its module is asked for meanwhile."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "imported_at_once":
            time.sleep(0.3)


def test_a_package_and_a_module_of_it_that_are_imported_at_once_come_whole(
    provider: CirclePayProvider, handler: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported by two threads, each holds what the other waits for: the one the package, the other the module."""
    package = tmp_path / "imported_at_once"
    package.mkdir()
    (package / "__init__.py").write_text("from imported_at_once import part\n")
    (package / "part.py").write_text("whole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [SlowFinder(), *sys.meta_path])
    wanted = {"package": "imported_at_once", "module": "imported_at_once.part"}
    monkeypatch.setattr(handler, "modules", lambda values: (wanted[values["name"]],))
    with ThreadPoolExecutor() as pool:
        requests = [
            provider_pb2.CreateRequest(urn=URN, properties=written({"name": name, "password": SECRET}))
            for name in wanted
        ]
        answers = list(pool.map(lambda request: provider.Create(request, NOBODY), requests))
    assert [plain_map(answer.properties)["place"] for answer in answers] == ["here", "here"]
    assert sys.modules["imported_at_once.part"].whole
