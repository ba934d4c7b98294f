"""All facts of a server are read in one round trip, counted on the wire between the provider and real servers."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.cache import parameters as cache_parameters
from infra.cache import server as cache_server
from infra.paths import PROJECT_ROOT
from infra.postgres import catalog
from infra.postgres import parameters as postgres_parameters
from infra.postgres import server as postgres_server
from infra.provider import prepared_suite
from infra.provider.handler import Handler, properties_after
from infra.provider.resource_types import handlers
from infra.settings.loading import parse
from infra.targets import target as targets
from infra.targets.location import Location
from infra.targets.spec import ServerSpec
from infra.verification.runner import abandon
from tests.support.counting_proxy import Classify, Kind, counting_proxy, postgres_kind, redis_kind
from tests.support.placements import open_folder
from tests.support.quiet_ports import quiet_port
from tests.support.round_trips import OPERATION, States, observed_through_proxies

SQL = Path(__file__).resolve().parents[3] / "sql"
SETTINGS = parse("local", {})
OF_ONE_TARGET = [kind.token for name in targets.names() for kind in targets.load(name).resource_types()]
PASSWORD = "of-this-test-only-24-characters"


def converged(states: States, kind: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Brings a resource about and keeps its state; what an `up` does."""
    handler = handlers()[f"circlepay:index:{kind}"]
    absent = {name: None for name, item in handler.inputs.items() if not item.required}
    complete = {**absent, **inputs}
    missing = handler.inputs.keys() - complete.keys()
    assert not missing, f"{kind} wants {missing}"
    state = properties_after(complete, handler.converge(complete, None, OPERATION))
    states.append((handler.token, state))
    return state


def server(states: States, root: Path, spec: ServerSpec, secrets: dict[str, str]) -> dict[str, Any]:
    place = converged(
        states,
        "ServerLocation",
        {
            "target": "processes",
            "server": spec.name,
            "cloneId": "0123456789",
            "stack": "test",
            "projectRoot": str(PROJECT_ROOT),
            "host": "127.0.0.1",
            "requestedPort": quiet_port(),
            "documentedPort": spec.documented_port,
            "secretsId": "secrets-of-this-test",
            "options": {"dataRoot": str(root / "data")},
        },
    )
    location = Location.from_json(place["location"]).completed({"binaries": "wheel"}).to_json()
    inputs = {"spec": spec.to_json(), "location": location, "instance": "", "upstream": []}
    converged(states, "Server", {**inputs, "secrets": secrets})
    return {"host": "127.0.0.1", "port": place["port"], "password": PASSWORD}


def objects(states: States, root: Path, login: dict[str, Any]) -> None:
    own = SETTINGS.postgres
    common = {"connection": login, "adopt": False, "upstream": []}
    database = {
        "owner": own.superuser,
        "name": own.database,
        "encoding": own.encoding,
        "localeProvider": own.locale_provider,
        "locale": own.locale,
        "tablespace": own.tablespace,
        "connectionLimit": own.connection_limit,
    }
    schema = {
        "owner": own.owner_role,
        "folder": str(SQL),
        "migrations": [],
        "dropRedundantIndexes": False,
        "lockTimeout": own.lock_timeout,
        "statementTimeout": own.statement_timeout,
        "cacheFolder": str(root / "cache"),
    }
    converged(states, "Database", {**common, **database})
    converged(states, "Schema", {**common, **schema})
    access = {"role": own.application_role, "password": PASSWORD, "restrictPublic": False, "restrictApplication": False}
    converged(states, "Access", {**common, "owner": own.owner_role, **access})
    parameters = postgres_parameters.declared(own)
    converged(states, "PostgresParameters", {"connection": login, "parameters": parameters, "upstream": []})


@pytest.fixture(scope="module")
def states() -> Iterator[States]:
    """Every resource of a stack that asks a server, brought up."""
    own = SETTINGS.postgres
    found: States = []
    with open_folder() as root:
        try:
            spec = postgres_server.spec(parameters=postgres_parameters.declared(own), superuser=own.superuser)
            login = server(found, root, spec, {"superuser_password": PASSWORD})
            objects(found, root, {**login, "user": own.superuser, "database": own.database})
            declared = cache_parameters.declared(SETTINGS.redis)
            redis = server(found, root, cache_server.spec(parameters=declared), {"password": PASSWORD})
            in_force = {name: value for name, value in declared.items() if "{" not in value}
            converged(found, "RedisParameters", {"connection": redis, "parameters": in_force, "upstream": []})
            yield found
        finally:
            for token, state in found:
                if token.endswith(":Server"):
                    handlers()[token].delete(state, OPERATION)
            # A server that was made has a verification prepared, which nothing here runs.
            if (suite := prepared_suite.take()) is not None:
                abandon(suite)


def test_every_resource_type_that_asks_a_server_is_counted(states: States) -> None:
    # Types of one target ask that.
    asking: dict[str, Handler] = {
        token: handler
        for token, handler in {handler.token: handler for handler in handlers().values()}.items()
        if {"connection", "spec"} & handler.inputs.keys() and token not in OF_ONE_TARGET
        if not token.endswith(":EnvFile")
    }
    assert asking.keys() <= {token for token, _ in states}


def test_all_facts_of_a_server_take_one_round_trip(states: States) -> None:
    for server, asked in observed_through_proxies(states).items():
        assert asked.facts.round_trips == 1, f"{server} was asked {asked.facts.questions}"
        assert asked.facts.connections == 1, server


def test_that_a_server_lives_and_what_is_in_force_takes_few_questions(states: States) -> None:
    for server, asked in observed_through_proxies(states).items():
        # PostgreSQL is also asked what it has read, what it was started with, and whether it wants a password at all.
        most = {"postgres": 2, "redis": 1}[server]
        assert asked.alive.connections == most, server
        assert asked.alive.round_trips <= most, f"{server} was asked {asked.alive.questions}"


def test_a_second_query_would_be_noticed(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    read = catalog.read

    def read_and_ask_again(connection: psycopg.Connection, *arguments: Any, **options: Any) -> Any:
        connection.execute("SELECT 1")
        return read(connection, *arguments, **options)

    monkeypatch.setattr(catalog, "read", read_and_ask_again)
    assert observed_through_proxies(states)["postgres"].facts.round_trips == 2


def test_a_proxy_counts_what_was_waited_for_and_not_what_was_sent() -> None:
    def exchange(request: bytes, *, answer: bool = True) -> None:
        client.sendall(request)
        assert answering.recv(100) == request
        if answer:
            answering.sendall(b"+OK\r\n")
            assert client.recv(100) == b"+OK\r\n"

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        counting_proxy(listener.getsockname()[1], redis_kind) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
        listener.accept()[0] as answering,
    ):
        answering.settimeout(10)
        exchange(b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n")
        exchange(b"*1\r\n$4\r\nPING\r\n")
        exchange(b"*1\r\n$4\r\nPING\r\n")
        exchange(b"*1\r\n$6\r\nDBSIZE\r\n", answer=False)
        exchange(b"*1\r\n$4\r\nINFO\r\n")
    assert (proxy.count.connections, proxy.count.login, proxy.count.round_trips) == (1, 1, 3)


@pytest.mark.parametrize(
    ("kind_of", "message", "kind"),
    [
        (postgres_kind, b"\0\0\0\x08\x04\xd2\x16\x2f", Kind.LOGIN),
        (postgres_kind, b"p\0\0\0\x36SCRAM", Kind.LOGIN),
        (postgres_kind, b"Q\0\0\0\x0dSELECT 1\0", Kind.QUESTION),
        (postgres_kind, b"X\0\0\0\x04", Kind.LEAVE),
        (redis_kind, b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n", Kind.LOGIN),
        (
            redis_kind,
            b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$4\r\nport\r\n",
            Kind.QUESTION,
        ),
        (redis_kind, b"*1\r\n$4\r\nping\r\n", Kind.QUESTION),
        (redis_kind, b"*1\r\n$4\r\nQUIT\r\n", Kind.LEAVE),
    ],
)
def test_messages_are_told_apart(kind_of: Classify, message: bytes, kind: Kind) -> None:
    assert kind_of(message) is kind
