"""A stack that the last release brought up goes on by an ordinary `up`, and by every other verb, with nothing lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.operations.state_file import deployment
from tests.contract.conftest import ALONE, TARGETS, Case, left_behind, standing, up_on_quiet_ports
from tests.support.clones import Clone, Run
from tests.support.last_release import RESOURCE_TYPES, put_last_release, upgrade
from tests.support.live import SERVERS, LiveStack

URLS = ("databaseUrl", "adminDatabaseUrl", "redisUrl", "envFile")
PLACES = ("address", "port", "dataPath")
NAMES = {"folder": "folder", "container": "container", "volume": "dataVolume", "engine": "engine"}
"""Outputs of the last release that say where a server is -> what its location calls them now."""
EMAIL = "kept@example.com"


@dataclass(frozen=True)
class Upgraded:
    """A stack of the last release under the code of today. live: its outputs are those the last release wrote."""

    live: LiveStack
    env_text: str
    identities: dict[str, str]
    data: frozenset[str]
    """The resource types that protect data, as `circlepay preview` names them."""

    @property
    def clone(self) -> Clone:
        return self.live.clone

    def has_kept_everything(self) -> None:
        """The data, and what the application reaches it by."""
        assert _with_user(self.live.env_path.read_text()) == _with_user(self.env_text)
        assert _where(self.live.fresh()) == _where(self.live)
        with self.live.as_application() as connection:
            found = connection.execute("SELECT count(*) FROM users WHERE email = %s", (EMAIL,)).fetchone()
        assert found == (1,)
        with self.live.as_cache_client() as cache:
            assert cache.get("kept") == "yes"


def _where(live: LiveStack) -> dict[str, Any]:
    """Where everything is, with which passwords: outputs that no upgrade may change."""
    urls = {name: _with_user(str(live.outputs[name])) for name in URLS}
    servers = {server: {name: live.outputs[server][name] for name in PLACES} for server in SERVERS}
    names = {server: _names(live.outputs[server]) for server in SERVERS}
    return {**urls, **servers, "names": names}


def _with_user(text: str) -> str:
    """REDIS_URL as it is written since: the same user with the same password, named."""
    return text.replace("redis://:", "redis://default:")


def _names(about: dict[str, Any]) -> dict[str, str]:
    if "location" in about:
        return {name: about["location"]["names"].get(now, "") for name, now in NAMES.items()}
    return {name: about[name] for name in NAMES}


@contextmanager
def _upgraded(case: Case, workplace: Path) -> Iterator[Upgraded]:
    """Brought up and filled by the last release, whose files have then made way for those under test."""
    with standing(case, workplace, put_last_release) as clone:
        up_on_quiet_ports(clone)
        resources = deployment(clone.state_file)["resources"]
        on = str(clone.config.get("circlepay:target", "processes"))
        assert RESOURCE_TYPES[on] in {each["type"] for each in resources}, "other code than the last release's has run"
        live = LiveStack(clone)
        live.insert_user(EMAIL)
        with live.as_cache_client() as cache:
            cache.set("kept", "yes")
        data = frozenset(each["type"].rpartition(":")[2] for each in resources if each.get("protect"))
        found = Upgraded(live, live.env_path.read_text(), live.identities(), data)
        upgrade(clone.root)
        yield found


@pytest.fixture(scope="module", params=TARGETS, ids=lambda case: case.name)
def not_up_yet(request: pytest.FixtureRequest, workplace: Path) -> Iterator[Upgraded]:
    """Nothing has changed it since the upgrade."""
    with _upgraded(request.param, workplace) as stack:
        yield stack


@pytest.fixture(scope="module")
def up_again(not_up_yet: Upgraded) -> Upgraded:
    """The same stack after its first `up` since."""
    not_up_yet.clone.make_up().expect()
    return not_up_yet


@pytest.fixture(params=TARGETS, ids=lambda case: f"{ALONE}{case.name}")
def another(request: pytest.FixtureRequest, workplace: Path) -> Iterator[Upgraded]:
    """One for a single test, before any `up`."""
    with _upgraded(request.param, workplace) as stack:
        yield stack


def test_status_of_a_stack_that_is_not_up_yet_sees_its_servers(not_up_yet: Upgraded) -> None:
    run = _circlepay(not_up_yet.clone, "status", "--json")
    _works_or_sends_to_up(run, (0, 2))
    if run.code in (0, 2):
        assert all(server["authenticating"] for server in json.loads(run.output)["servers"])


def test_logs_of_a_stack_that_is_not_up_yet_are_there(not_up_yet: Upgraded) -> None:
    _works_or_sends_to_up(_circlepay(not_up_yet.clone, "logs"), (0,))


def test_preview_shows_nothing_that_loses_data(not_up_yet: Upgraded) -> None:
    not_up_yet.clone.make_target("preview").expect()
    run = _circlepay(not_up_yet.clone, "preview", "--json")
    assert run.code in (0, 2), run.output
    planned = json.loads(run.output)
    assert not [each for each in planned if "replace" in each["operation"]]
    assert not [each for each in planned if each["operation"] == "delete" and each["type"] in not_up_yet.data]
    shown = {change["subject"]: change["reason"] for each in planned for change in each["changes"]}
    assert shown["role circlepay_owner"] == "does not exist"
    assert shown["table public.wallets"] == "owner is postgres, declared circlepay_owner"


def test_an_ordinary_up_restarts_and_loses_nothing(up_again: Upgraded) -> None:
    assert up_again.live.identities() == up_again.identities
    up_again.has_kept_everything()
    _circlepay(up_again.clone, "status").expect()
    _circlepay(up_again.clone, "verify").expect()


def test_it_gives_the_objects_to_an_owner_without_power(up_again: Upgraded) -> None:
    with up_again.live.as_superuser() as connection:
        owners = connection.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchall()
        creators = connection.execute("SELECT DISTINCT pg_get_userbyid(defaclrole) FROM pg_default_acl").fetchall()
    assert (owners, creators) == ([("circlepay_owner",)], [("circlepay_owner",)])


def test_the_next_up_finds_nothing(up_again: Upgraded) -> None:
    up_again.clone.make_up().expect()
    assert set(up_again.clone.latest_counts()) == {"same"}
    assert up_again.live.identities() == up_again.identities


def test_down_and_up_keep_what_the_last_release_has_written(up_again: Upgraded) -> None:
    _down_and_up(up_again)
    up_again.clone.make_target("down", DATA="delete", CONFIRM="delete").expect()
    assert _left(up_again) == []


def test_restart_and_down_need_no_up_before_them(another: Upgraded) -> None:
    _works_or_sends_to_up(_circlepay(another.clone, "restart"), (0,))
    another.has_kept_everything()
    _down_and_up(another)


def test_data_is_deleted_without_an_up_before(another: Upgraded) -> None:
    another.clone.make_target("down", DATA="delete", CONFIRM="delete").expect()
    assert _left(another) == []


def _circlepay(clone: Clone, *words: str) -> Run:
    return clone.run("circlepay", *words, "--stack", clone.stack)


def _works_or_sends_to_up(run: Run, codes: tuple[int, ...]) -> None:
    """What needs an `up` of today's code first may say so, in words and not in a traceback."""
    assert "Traceback" not in run.output
    assert run.code in codes or "make up" in run.output, run.output


def _down_and_up(stack: Upgraded) -> None:
    stack.clone.make_target("down").expect()
    assert _with_user(stack.live.env_path.read_text()) == _with_user(stack.env_text)
    stack.clone.make_up().expect()
    stack.has_kept_everything()


def _left(stack: Upgraded) -> list[str]:
    """What is left of it after its data was deleted."""
    env_file = stack.live.env_path
    return left_behind(stack.clone) + [str(env_file)] * env_file.exists()
