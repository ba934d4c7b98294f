"""The Redis spec on real servers: Valkey from the wheel and, where it is installed, Debian's Redis 7."""

from __future__ import annotations

import socket
import string
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.cache import server
from infra.cache.parameters import declared
from infra.changes import Effect
from infra.endpoint import Endpoint
from infra.errors import ServerError, TargetError
from infra.settings.model import RedisSettings
from infra.targets import lifecycle
from infra.targets.processes.placement import Placement
from infra.targets.spec import CredentialsRefused, ServerSpec
from tests.support.placements import Stage, kill_server, staged, wait_until

DEBIAN = "/usr/bin"
EVERY_CHARACTER = "".join(character for character in string.printable if character.isprintable() and character != " ")
SECRETS = {"password": EVERY_CHARACTER}

needs_debian = pytest.mark.skipif(not Path(DEBIAN, "redis-server").is_file(), reason="Debian's Redis is not installed")
every_server = pytest.mark.parametrize("binaries", ["wheel", pytest.param(DEBIAN, marks=needs_debian)])


def spec(**values: object) -> ServerSpec:
    return server.spec(parameters=declared(RedisSettings.model_validate(values)))


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made


def up(stage: Stage, binaries: str = "wheel", wanted: ServerSpec | None = None) -> Placement:
    place = stage.place(wanted or spec())
    stage.apply(place, wanted or spec(), SECRETS, binaries)
    return place


def client(place: Placement, password: str | None = EVERY_CHARACTER) -> redis.Redis:
    # A refusal is an answer: the library would ask again for seconds.
    return redis.Redis(
        host=place.host, port=place.port, password=password, decode_responses=True, retry=Retry(NoBackoff(), 0)
    )


# --- the spec as data


def test_the_spec_survives_json() -> None:
    assert ServerSpec.from_json(spec().to_json()) == spec()


def test_the_documents_settings_are_lines_of_the_file() -> None:
    (text,) = [file.content for file in spec().files if file.name == "redis.conf"]
    lines = text.splitlines()
    for line in (
        "port {port}",
        "bind {host}",
        "timeout 0",
        "tcp-keepalive 300",
        "maxmemory 268435456",
        "maxmemory-policy allkeys-lru",
        "save 900 1",
        "save 300 10",
        "save 60 10000",
        "loglevel notice",
        'logfile "{logs}/redis-server.log"',
    ):
        assert line in lines, line


def test_no_snapshots_are_said_explicitly() -> None:
    (text,) = [file.content for file in spec(save=[]).files if file.name == "redis.conf"]
    assert 'save ""' in text.splitlines()


def test_only_what_is_read_at_the_start_changes_the_restart_key() -> None:
    assert spec(maxmemory="1gb").restart_key == spec().restart_key
    assert spec(logfile="/var/log/elsewhere.log").restart_key != spec().restart_key


# --- real servers


@every_server
def test_up_again_down_and_up_with_the_promises_kept(stage: Stage, binaries: str) -> None:
    place = up(stage, binaries)
    assert stage.apply(place, spec(), SECRETS, binaries) == []
    with client(place) as cache:
        for name, value in {
            "port": str(place.port),
            "bind": "127.0.0.1",
            "protected-mode": "yes",
            "daemonize": "no",
            "unixsocket": "",
            "dir": str(place.sub("data")),
            "logfile": str(place.sub("logs") / "redis-server.log"),
            "timeout": "0",
            "tcp-keepalive": "300",
            "maxmemory": str(256 * 2**20),
            "maxmemory-policy": "allkeys-lru",
            "save": "900 1 300 10 60 10000",
            "loglevel": "notice",
        }.items():
            assert cache.config_get(name)[name] == value, name
        cache.set("kept", "yes")
    version = stage.read(place, spec(), SECRETS, binaries).version
    assert version.startswith("9." if binaries == "wheel" else "7.")
    stage.stop(place, spec())
    assert (place.sub("data") / "dump.rdb").stat().st_mode & 0o777 == 0o600
    stage.apply(place, spec(), SECRETS, binaries)
    with client(place) as cache:
        assert cache.get("kept") == "yes"


@every_server
def test_a_password_changed_by_hand_is_found_and_the_server_restarted_from_its_file(
    stage: Stage, binaries: str
) -> None:
    place = up(stage, binaries)
    with client(place) as cache:
        cache.set("kept", "yes")
        cache.config_set("requirepass", "changed-by-hand")
    assert stage.read(place, spec(), SECRETS, binaries).refused
    (change,) = stage.apply(place, spec(), SECRETS, binaries)
    assert change.action == "restart"
    with client(place) as cache:
        assert cache.get("kept") == "yes"


@every_server
def test_a_password_that_was_taken_away_is_no_reason_to_restart(stage: Stage, binaries: str) -> None:
    """The settings of the running server are put right by what reads them: infra.cache.parameters."""
    place = up(stage, binaries)
    with client(place) as cache:
        cache.config_set("requirepass", "")
    facts = stage.read(place, spec(), SECRETS, binaries)
    assert (facts.version != "", facts.refused) == (True, False)
    assert stage.plan(place, spec(), SECRETS, binaries) == []


@every_server
def test_what_it_was_started_with_from_an_edited_file_is_found_although_the_file_was_put_back(
    stage: Stage, binaries: str
) -> None:
    place = up(stage, binaries)
    file = place.sub("config") / "redis.conf"
    before = file.read_text()
    file.write_text(f"{before}\nenable-debug-command yes\ndbfilename other.rdb\n")
    stage.stop(place, spec())
    machine = stage.server(place, spec(), SECRETS, binaries).machine
    with machine.exclusive("start it by hand", threading.Event()):
        machine.start()
    wait_until(lambda: stage.read(place, spec(), SECRETS, binaries).version)
    file.write_text(before)
    (change,) = stage.plan(place, spec(), SECRETS, binaries)
    assert (change.action, change.effect) == ("restart", Effect.RESTART)
    for part in ("dbfilename is other.rdb, declared dump.rdb", "enable-debug-command is yes, declared no"):
        assert part in change.reason
    assert stage.apply(place, spec(), SECRETS, binaries) == [change]
    assert stage.plan(place, spec(), SECRETS, binaries) == []


def test_a_live_setting_is_only_written_and_the_log_file_restarts(stage: Stage) -> None:
    place = up(stage)
    (change,) = stage.apply(place, spec(maxmemory="1gb"), SECRETS)
    assert (change.action, change.effect) == ("write", Effect.LIVE)
    other = spec(maxmemory="1gb", logfile=str(place.sub("logs") / "other.log"))
    assert [change.action for change in stage.apply(place, other, SECRETS)] == ["write", "restart"]
    assert (place.sub("logs") / "other.log").exists()


@every_server
def test_kill_9_and_at_once_another_up(stage: Stage, binaries: str) -> None:
    place = up(stage, binaries)
    with client(place) as cache:
        cache.set("kept", "yes")
        cache.save()
    kill_server(place)
    stage.apply(place, spec(), SECRETS, binaries)
    with client(place) as cache:
        assert cache.get("kept") == "yes"


def test_a_configuration_it_cannot_start_with_is_shown_without_the_password(stage: Stage) -> None:
    good = spec()
    broken = [replace(file, content=file.content + " trailing") for file in good.files if file.folder == "secrets"]
    wrong = replace(good, files=(*[file for file in good.files if file.folder != "secrets"], *broken))
    place = stage.place(wrong)
    with pytest.raises(TargetError, match=r"it exited immediately") as caught:
        stage.apply(place, wrong, SECRETS)
    assert "FATAL CONFIG FILE ERROR" in caught.value.cause
    assert EVERY_CHARACTER not in caught.value.message
    assert EVERY_CHARACTER.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'") not in caught.value.message


@needs_debian
def test_data_of_a_server_that_is_too_new_is_shown(stage: Stage) -> None:
    place = up(stage)
    with client(place) as cache:
        cache.set("kept", "yes")
    with pytest.raises(TargetError, match="Fatal error loading the DB"):
        stage.apply(place, spec(), SECRETS, DEBIAN)
    stage.apply(place, spec(), SECRETS)
    with client(place) as cache:
        assert cache.get("kept") == "yes"


def test_quotes_and_spaces_in_the_data_directory(stage: Stage) -> None:
    stage.root = stage.root.with_name("it's my data, 100% here")
    place = up(stage)
    with client(place) as cache:
        assert cache.config_get("dir")["dir"] == str(place.sub("data"))


def test_the_probe_tells_refused_from_not_there_and_from_loading(stage: Stage) -> None:
    place = up(stage)
    endpoint = Endpoint(place.host, place.port)
    with pytest.raises(CredentialsRefused):
        server.probe(endpoint, {"password": "wrong"}, 2.0, files={})
    stage.stop(place, spec())
    with pytest.raises(ServerError) as caught:
        server.probe(endpoint, SECRETS, 2.0, files={})
    assert not isinstance(caught.value, CredentialsRefused)


@pytest.mark.parametrize(
    "answer", [b"", b"-LOADING wait\r\n" * 3, b"+OK\r\n-LOADING wait\r\n$1\r\nx\r\n", b"HTTP/1.1 400\r\n"]
)
def test_the_probe_believes_no_stranger(answer: bytes) -> None:
    import threading

    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def serve() -> None:
            with stranger.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(answer)
                time.sleep(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ServerError):
            server.probe(Endpoint("127.0.0.1", stranger.getsockname()[1]), SECRETS, 2.0, files={})
        thread.join()


# --- what cannot start is known before a running server is stopped


def test_a_log_that_its_user_cannot_write_is_refused_while_the_server_goes_on(stage: Stage) -> None:
    place = up(stage)
    connection = client(place)
    connection.set("kept", "rows")
    folder = stage.root / "closed"
    folder.mkdir(mode=0o500)
    unwritable = {
        folder: "it is not a file",
        stage.root / "absent" / "redis.log": "there is no folder",
        folder / "redis.log": "it may not make a file in",
    }
    for log, problem in unwritable.items():
        with pytest.raises(TargetError, match=problem) as caught:
            stage.apply(place, spec(logfile=str(log)), SECRETS)
        assert caught.value.path == str(log)
        assert "circlepay:redis.logfile" in caught.value.hint
        assert connection.get("kept") == "rows", "the same connection: it was not stopped"
    assert stage.plan(place, spec(), SECRETS) == []
    own = place.sub("logs") / "own.log"
    stage.apply(place, spec(logfile=str(own)), SECRETS)
    assert own.exists()


@pytest.mark.parametrize(
    ("beginning", "version", "reads"),
    [
        ("VALKEY080", "Redis server v=7.0.15 sha=0", "files of Redis only"),
        ("VALKEY080", "Valkey server v=8.1.0 sha=0", "up to REDIS0011"),
        ("VALKEY080", "Valkey server v=9.1.2 sha=0", ""),
        ("REDIS0012", "Redis server v=7.0.15 sha=0", "up to REDIS0010"),
        ("REDIS0012", "Valkey server v=9.1.2 sha=0", "up to REDIS0011"),
        ("REDIS0010", "Valkey server v=9.1.2 sha=0", ""),
        ("REDIS0012", "Redis server v=8.0.2 sha=0", ""),
        ("REDIS0099", "Redis server v=99.0.0 sha=0", ""),
        ("REDIS0012", "something else", ""),
        ("", "Redis server v=7.0.15 sha=0", ""),
    ],
)
def test_a_snapshot_tells_who_can_read_it(beginning: str, version: str, reads: str) -> None:
    found = server.unreadable(beginning, version)
    assert found.endswith(f"reads {reads}") if reads else found == ""


@needs_debian
@pytest.mark.parametrize("was_saved", [True, False])
def test_programs_that_cannot_read_the_data_leave_it_to_the_former_ones(stage: Stage, was_saved: bool) -> None:
    """Redis 7 over what Valkey has written: known before where there is a snapshot, else after the stop that writes one."""
    place = up(stage)
    connection = client(place)
    connection.set("kept", "rows")
    if was_saved:
        connection.save()
    former = stage.server(place, spec(), SECRETS)
    with pytest.raises(
        TargetError, match="VALKEY080, and Redis 7.0 reads" if was_saved else "Wrong signature"
    ) as caught:
        lifecycle.apply(
            stage.server(place, spec(), SECRETS, DEBIAN),
            cancelled=threading.Event(),
            progress=stage.lines.append,
            previous=lambda: nullcontext(former),
        )
    if was_saved:
        assert connection.get("kept") == "rows", "the same connection: it was not stopped"
    else:
        assert caught.value.cause.endswith("redis runs again as it was before this change")
    assert client(place).get("kept") == "rows"
    assert stage.plan(place, spec(), SECRETS) == []
