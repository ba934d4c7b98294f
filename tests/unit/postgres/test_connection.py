"""Sessions: bounded, deaf to the environment, silent about passwords, one change at a time."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from infra.endpoint import Endpoint, Login
from infra.env_file.encoding import database_url
from infra.errors import CatalogError, ServerError
from infra.postgres import catalog
from infra.postgres.connection import connect, exclusive, open_session, reconnected
from tests.support.live_servers import free_port
from tests.unit.postgres.conftest import Stage


def test_a_session_says_what_it_is(stage: Stage) -> None:
    with connect(stage.login, lock_timeout=1.5, statement_timeout=2.25) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("lock_timeout", "statement_timeout", "search_path", "application_name")
        }
    assert shown == {
        "lock_timeout": ("1500ms",),
        "statement_timeout": ("2250ms",),
        "search_path": ("public",),
        "application_name": ("circlepay",),
    }


@pytest.fixture
def misleading(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that leads every session elsewhere that lets it."""
    for name, value in {
        "PGHOST": "192.0.2.1",
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1",
        "PGUSER": "nobody",
        "PGDATABASE": "nothing",
        "PGOPTIONS": "-c search_path=elsewhere",
        "PGSSLMODE": "require",
        "PGTARGETSESSIONATTRS": "standby",
        "PGREQUIREAUTH": "password",
        "PGCLIENTENCODING": "EUC_KR",
        "PGTZ": "Asia/Seoul",
        "PGDATESTYLE": "German",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("misleading")
def test_the_environment_has_no_say(stage: Stage) -> None:
    with connect(stage.login) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone() for name in ("search_path", "timezone", "datestyle")
        ]
        # Sent as it stands in a file: read in another encoding it would be another text, or none.
        korean = connection.execute("SELECT length('서클페이')".encode()).fetchone()
    assert (shown, korean) == ([("public",), ("UTC",), ("ISO, MDY",)], (4,))


@pytest.mark.usefixtures("misleading")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nor_has_it_where_a_url_says_where_to_go(stage: Stage, host: str) -> None:
    login = replace(stage.login, endpoint=replace(stage.login.endpoint, host=host))
    with open_session(database_url(login), application_name="of-a-test", connect_timeout=5) as connection:
        row = connection.execute("SELECT current_database(), current_setting('search_path')").fetchone()
    assert row == (stage.login.database, '"$user", public')


def test_parameters_stand_in_for_what_a_url_says_and_the_url_for_what_is_usual(stage: Stage) -> None:
    elsewhere = replace(stage.login, endpoint=Endpoint("192.0.2.1", 1))
    url = f"{database_url(elsewhere)}?sslmode=disable&options=-c%20geqo%3Doff"
    place: dict[str, Any] = {"host": stage.login.endpoint.host, "port": stage.login.endpoint.port}
    with open_session(url, application_name="of-a-test", connect_timeout=5, **place) as connection:
        assert connection.info.get_parameters()["sslmode"] == "disable"
        assert connection.execute("SHOW geqo").fetchone() == ("off",)


def test_a_search_path_of_the_database_cannot_lead_elsewhere(stage: Stage) -> None:
    stage.run(f"ALTER DATABASE {stage.name} SET search_path = 'pg_temp'")
    assert [change.subject for change in stage.plan().changes] == [f"parameter search_path of database {stage.name}"]


@pytest.mark.parametrize("what", ["password", "port"])
def test_who_does_not_answer_is_an_error_without_the_password(stage: Stage, what: str) -> None:
    port = free_port() if what == "port" else stage.login.endpoint.port
    login = Login(Endpoint("127.0.0.1", port), "postgres", "wr0ng-Passw0rd!", "postgres")
    with pytest.raises(ServerError) as caught:
        connect(login)
    assert str(port) in caught.value.path
    assert "wr0ng-Passw0rd!" not in repr(caught.value) + str(caught.value) + repr(login)


def test_only_one_changes_a_database_at_a_time(stage: Stage) -> None:
    order: list[str] = []

    def second() -> None:
        with connect(stage.login) as connection, exclusive(connection, threading.Event()):
            order.append("second")

    with connect(stage.login) as connection:
        with exclusive(connection, threading.Event()):
            thread = threading.Thread(target=second)
            thread.start()
            time.sleep(0.3)
            order.append("first")
        thread.join(10)
    assert order == ["first", "second"]


def test_waiting_for_another_run_ends_and_names_it(stage: Stage) -> None:
    with connect(stage.login) as holder, exclusive(holder, threading.Event()), connect(stage.login) as connection:
        with (
            pytest.raises(ServerError, match=str(holder.info.backend_pid)),
            exclusive(connection, threading.Event(), wait=0.2),
        ):
            pass
        cancelled = threading.Event()
        cancelled.set()
        with pytest.raises(ServerError, match="cancelled"), exclusive(connection, cancelled):
            pass


def test_the_lock_ends_with_an_error_inside(stage: Stage) -> None:
    with connect(stage.login) as connection:
        with pytest.raises(ZeroDivisionError), exclusive(connection, threading.Event()):
            raise ZeroDivisionError
        row = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
    assert row == (0,)


def test_reconnected_changes_the_database_only(stage: Stage) -> None:
    assert reconnected(stage.login, "x") == Login(stage.login.endpoint, "postgres", stage.login.password, "x")


def test_all_facts_are_one_round_trip(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(stage.login) as connection:
        asked: list[object] = []
        execute = connection.execute

        def recorded(*words: Any, **more: Any) -> Any:
            asked.append(words)
            return execute(*words, **more)

        monkeypatch.setattr(connection, "execute", recorded)
        assert catalog.read(connection).tables
    assert len(asked) == 1


def test_who_may_not_read_the_catalog_is_told_so(stage: Stage) -> None:
    with stage.as_application() as connection, pytest.raises(CatalogError, match="permission denied") as caught:
        catalog.read(connection)
    assert "superuser" in caught.value.hint
