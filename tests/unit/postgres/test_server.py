"""The PostgreSQL spec on real servers: the wheel's version 18 and, where it is installed, Debian's 15."""

from __future__ import annotations

import random
import shutil
import string
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.changes import Effect
from infra.errors import ServerError, TargetError
from infra.postgres import server
from infra.postgres.probe import probe
from infra.targets.processes import process_records
from infra.targets.processes.placement import Placement
from infra.targets.spec import CredentialsRefused, ServerSpec
from tests.support.placements import AS_ROOT, Stage, kill_server, open_folder, staged, wait_until

DEBIAN = "/usr/lib/postgresql/15/bin"
EVERY_CHARACTER = "".join(character for character in string.printable if character.isprintable() and character != " ")
SECRETS = {"superuser_password": EVERY_CHARACTER}
PARAMETERS = {"max_connections": "20", "shared_buffers": "16MB", "log_min_duration_statement": "1000"}

needs_debian = pytest.mark.skipif(not Path(DEBIAN).is_dir(), reason="Debian's PostgreSQL 15 is not installed")
every_version = pytest.mark.parametrize("binaries", ["wheel", pytest.param(DEBIAN, marks=needs_debian)])


def spec(**parameters: str) -> ServerSpec:
    return server.spec(parameters={**PARAMETERS, **parameters}, superuser="postgres")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made


def up(stage: Stage, binaries: str = "wheel", declared: ServerSpec | None = None) -> Placement:
    place = stage.place(declared or spec())
    stage.apply(place, declared or spec(), SECRETS, binaries)
    return place


def connect(place: Placement, password: str = EVERY_CHARACTER, **options: Any) -> psycopg.Connection:
    return psycopg.connect(
        host=place.host,
        port=place.port,
        user="postgres",
        password=password,
        dbname="postgres",
        autocommit=True,
        **options,
    )


def setting(place: Placement, name: str) -> str:
    with connect(place) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


# --- the spec as data


def test_the_spec_survives_json() -> None:
    assert ServerSpec.from_json(spec().to_json()) == spec()


def test_only_what_is_read_at_the_start_changes_the_restart_key() -> None:
    assert spec(log_min_duration_statement="5").restart_key == spec().restart_key
    assert spec(max_connections="30").restart_key != spec().restart_key


def test_values_are_quoted_for_the_file() -> None:
    (text,) = [file.content for file in spec(log_line_prefix=r"it's \ %m").files if file.name == "postgresql.conf"]
    assert r"log_line_prefix = 'it''s \\ %m'" in text


def test_the_secret_is_only_in_a_file_that_goes_after_initialisation() -> None:
    assert [(file.path, file.once) for file in spec().files if "{secret:" in file.content] == [
        ("secrets/superuser-password", True)
    ]


# --- real servers


@every_version
def test_up_again_down_and_up_with_the_promises_kept(stage: Stage, binaries: str) -> None:
    place = up(stage, binaries)
    assert stage.apply(place, spec(), SECRETS, binaries) == []
    facts = stage.read(place, spec(), SECRETS, binaries)
    assert facts.version.startswith("18." if binaries == "wheel" else "15.")
    for name, value in {
        "data_checksums": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "password_encryption": "scram-sha-256",
        "unix_socket_directories": "",
        "listen_addresses": "127.0.0.1",
        "max_connections": "20",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "log_directory": str(place.sub("logs")),
        "log_rotation_age": "1d",
        "log_truncate_on_rotation": "on",
    }.items():
        assert setting(place, name) == value, name
    with connect(place) as connection:
        rules = connection.execute("SELECT address, auth_method, error FROM pg_hba_file_rules").fetchall()
        assert rules == [("127.0.0.1", "scram-sha-256", None), ("::1", "scram-sha-256", None)]
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'").fetchone()
        assert stored is not None
        assert stored[0].startswith("SCRAM-SHA-256$")
        connection.execute("CREATE TABLE kept (id int)")
    stage.stop(place, spec())
    assert not list(place.sub("data").glob("postmaster.pid"))
    stage.apply(place, spec(), SECRETS, binaries)
    with connect(place) as connection:
        connection.execute("TABLE kept")


def test_nobody_gets_in_without_the_password(stage: Stage) -> None:
    place = up(stage)
    for password in ("wrong", EVERY_CHARACTER[:-1], "x" * 99):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(place, password)


def test_it_listens_on_loopback_only_and_logs_only_for_its_user(stage: Stage) -> None:
    import psutil

    place = up(stage)
    connections = psutil.net_connections(kind="tcp")
    listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN and c.laddr]
    assert {address.ip for address in listening if address.port == place.port} == {"127.0.0.1"}
    (log,) = place.sub("logs").glob("postgresql-???.log")
    assert log.stat().st_mode & 0o777 == 0o600
    assert "ready to accept connections" in log.read_text()


def test_an_edited_hba_file_is_mended_and_reloaded(stage: Stage) -> None:
    place = up(stage)
    hba = place.folder / "config/pg_hba.conf"
    hba.write_text("host all all 127.0.0.1/32 trust\n")
    with connect(place) as connection:
        connection.execute("SELECT pg_reload_conf()")
    wait_until(lambda: _lets_in(place, "anything"))
    (change,) = stage.apply(place, spec(), SECRETS)
    assert (change.subject, change.effect) == ("file config/pg_hba.conf of postgres", Effect.RELOAD)
    wait_until(lambda: not _lets_in(place, "anything"))


def test_an_hba_file_that_lets_nobody_in_is_mended_by_a_reload_too(stage: Stage) -> None:
    place = up(stage)
    before = process_records.read(place.record)
    with connect(place) as connection:
        (place.folder / "config/pg_hba.conf").write_text("host all nobody 127.0.0.1/32 scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")
    wait_until(lambda: not _lets_in(place, EVERY_CHARACTER))
    stage.apply(place, spec(), SECRETS)
    assert _lets_in(place, EVERY_CHARACTER)
    assert process_records.read(place.record) == before


def _lets_in(place: Placement, password: str) -> bool:
    try:
        connect(place, password).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_live_parameter_is_reloaded_and_another_restarts(stage: Stage) -> None:
    place = up(stage)
    changes = stage.apply(place, spec(log_min_duration_statement="77"), SECRETS)
    assert [change.effect for change in changes] == [Effect.RELOAD]
    wait_until(lambda: setting(place, "log_min_duration_statement") == "77ms")
    changes = stage.apply(place, spec(log_min_duration_statement="77", max_connections="33"), SECRETS)
    assert changes[-1].action == "restart"
    assert setting(place, "max_connections") == "33"


@every_version
def test_a_superuser_whose_password_was_changed_gets_the_declared_one_back(stage: Stage, binaries: str) -> None:
    place = up(stage, binaries)
    with connect(place) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("ALTER ROLE postgres PASSWORD 'changed-by-hand'")
    facts = stage.read(place, spec(), SECRETS, binaries)
    assert (facts.process.running, bool(facts.version), facts.refused) == (True, False, True)
    (change,) = stage.apply(place, spec(), SECRETS, binaries)
    assert change.action == "restart"
    assert "does not accept its credentials" in change.reason
    with connect(place) as connection:
        connection.execute("TABLE kept")
    assert stage.plan(place, spec(), SECRETS, binaries) == []


def test_another_declared_password_works_after_one_apply_even_when_the_server_was_down(stage: Stage) -> None:
    place = up(stage)
    stage.stop(place, spec())
    other = {"superuser_password": "declared-later-on"}
    stage.apply(place, spec(), other)
    connect(place, "declared-later-on").close()
    text = "".join(path.read_text() for path in place.sub("run").glob("*.log"))
    text += "".join(path.read_text() for path in place.sub("logs").glob("*"))
    assert "declared-later-on" not in text


@every_version
def test_kill_9_of_the_postmaster_and_at_once_another_up(stage: Stage, binaries: str) -> None:
    place = up(stage, binaries)
    with connect(place) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
    kill_server(place)
    stage.apply(place, spec(), SECRETS, binaries)
    with connect(place) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_kill_9_with_its_backends_at_work(stage: Stage) -> None:
    place = up(stage)
    connections = [connect(place) for _ in range(5)]
    for connection in connections:
        connection.execute("CREATE TEMP TABLE busy AS SELECT generate_series(1, 10000)")
    kill_server(place)
    stage.apply(place, spec(), SECRETS)
    assert stage.plan(place, spec(), SECRETS) == []
    for connection in connections:
        connection.close()


def test_a_stale_pid_file_whose_pid_is_somebody_elses_now(stage: Stage) -> None:
    place = up(stage)
    kill_server(place)
    pid_file = place.sub("data") / "postmaster.pid"
    assert pid_file.exists()
    command = ["sleep", "60"]
    user = None if place.system_user is None else place.owner.uid
    # Of the servers' own user: PostgreSQL would believe the file.
    with subprocess.Popen(command, user=user) as stranger:
        try:
            lines = pid_file.read_text().splitlines(keepends=True)
            pid_file.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
            started = time.monotonic()
            stage.apply(place, spec(), SECRETS)
            assert time.monotonic() - started < 8
            assert stranger.poll() is None
        finally:
            stranger.kill()


@needs_debian
@pytest.mark.parametrize(("first", "second"), [("wheel", DEBIAN), (DEBIAN, "wheel")])
def test_data_of_another_major_version_is_refused_and_left_alone(stage: Stage, first: str, second: str) -> None:
    place = up(stage, first)
    made_by, other = ("18", "15") if first == "wheel" else ("15", "18")
    with pytest.raises(TargetError, match=f"made by version {made_by}, the program in .* is version {other}"):
        stage.apply(place, spec(), SECRETS, second)
    connect(place).close()
    stage.stop(place, spec())
    with pytest.raises(TargetError, match=f"made by version {made_by}"):
        stage.apply(place, spec(), SECRETS, second)
    assert stage.apply(place, spec(), SECRETS, first)[0].action == "start"


@needs_debian
def test_a_builtin_locale_that_the_programs_lack_is_refused_before_there_is_data(stage: Stage) -> None:
    builtin = server.spec(parameters=PARAMETERS, superuser="postgres", builtin_locale="C.UTF-8")
    place = stage.place(builtin)
    with pytest.raises(TargetError, match=r"needs PostgreSQL 17, and the program in .* is version 15") as caught:
        stage.apply(place, builtin, SECRETS, DEBIAN)
    assert caught.value.path == "circlepay:postgres.localeProvider"
    assert "circlepay:postgres.localeProvider to libc" in caught.value.hint
    assert not place.sub("data").exists()


def test_a_configuration_it_cannot_start_with_is_shown(stage: Stage) -> None:
    wrong = spec(shared_buffers="lots")
    place = up(stage)
    stage.stop(place, spec())
    with pytest.raises(TargetError, match='invalid value for parameter "shared_buffers"') as caught:
        stage.apply(place, wrong, SECRETS)
    assert "database system is" not in str(caught.value), "lines of an earlier start"
    stage.apply(place, spec(), SECRETS)


def test_quotes_and_spaces_in_the_data_directory(stage: Stage) -> None:
    stage.root = stage.root.with_name("it's my data, 100% here")
    place = up(stage)
    assert setting(place, "log_directory") == str(place.sub("logs"))


def test_the_users_environment_has_no_say(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    place = up(stage)
    for name, value in {"PGOPTIONS": "-c geqo=off", "PGSSLMODE": "require", "PGHOST": "192.0.2.1"}.items():
        monkeypatch.setenv(name, value)
    assert stage.read(place, spec(), SECRETS).version


def started_by_hand(stage: Stage, place: Placement, binaries: str) -> None:
    machine = stage.server(place, spec(), SECRETS, binaries).machine
    with machine.exclusive("start it by hand", threading.Event()):
        machine.start()
    wait_until(lambda: stage.read(place, spec(), SECRETS, binaries).version)


def load_time(place: Placement) -> str:
    with connect(place) as connection:
        row = connection.execute("SELECT pg_conf_load_time()").fetchone()
    assert row is not None
    return str(row[0])


@every_version
@pytest.mark.parametrize("put_back", [False, True])
def test_a_way_in_that_was_edited_and_loaded_is_closed(stage: Stage, binaries: str, put_back: bool) -> None:
    """Also where the file is as declared by now, at a time within the second of its loading."""
    place = up(stage, binaries)
    file, loaded = place.sub("config") / "pg_hba.conf", load_time(place)
    before = file.read_text()
    file.write_text("host all all 127.0.0.1/32 trust\n")
    stage.server(place, spec(), SECRETS, binaries).machine.reload()
    wait_until(lambda: load_time(place) != loaded)
    if put_back:
        file.write_text(before)
    connect(place, "wrong").close()
    changes = stage.plan(place, spec(), SECRETS, binaries)
    assert [(change.action, change.effect) for change in changes] == [
        ("reload" if put_back else "write", Effect.RELOAD)
    ]
    assert "without a password" in changes[0].reason or not put_back
    assert stage.apply(place, spec(), SECRETS, binaries) == changes
    wait_until(lambda: stage.plan(place, spec(), SECRETS, binaries) == [])
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(place, "wrong")


def test_a_file_that_was_edited_and_put_back_later_is_read_again(stage: Stage) -> None:
    place = up(stage)
    file, loaded = place.sub("config") / "pg_hba.conf", load_time(place)
    time.sleep(1.1)  # times of files are whole seconds to the server
    file.write_text(file.read_text())
    (change,) = stage.plan(place, spec(), SECRETS)
    assert (change.action, change.reason) == ("reload", "its hba_file was changed after it had read it")
    assert stage.apply(place, spec(), SECRETS) == [change]
    wait_until(lambda: load_time(place) != loaded)
    assert stage.plan(place, spec(), SECRETS) == []


@every_version
@pytest.mark.parametrize("put_back", [False, True])
def test_what_it_was_started_with_from_an_edited_file_is_found(stage: Stage, binaries: str, put_back: bool) -> None:
    place = up(stage, binaries)
    file = place.sub("config") / "postgresql.conf"
    before = file.read_text()
    file.write_text(f"{before}\nwal_level = 'minimal'\nmax_wal_senders = 0\nmax_connections = 21\n")
    stage.stop(place, spec())
    started_by_hand(stage, place, binaries)
    if put_back:
        file.write_text(before)
    changes = stage.plan(place, spec(), SECRETS, binaries)
    assert [change.action for change in changes] == ([] if put_back else ["write"]) + ["restart"]
    assert "max_connections is 21, declared 20" in changes[-1].reason
    assert "wal_level is minimal, not declared" in changes[-1].reason
    assert stage.apply(place, spec(), SECRETS, binaries) == changes
    assert stage.plan(place, spec(), SECRETS, binaries) == []
    assert setting(place, "wal_level") == "replica"


@every_version
def test_address_port_and_rules_of_access_cannot_be_overridden_from_inside(stage: Stage, binaries: str) -> None:
    place = up(stage, binaries)
    with connect(place) as connection:
        for name, value in {
            "listen_addresses": "*",
            "port": str(place.port + 1),
            "hba_file": "/dev/null",
            "unix_socket_directories": str(place.sub("data")),
        }.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
    stage.stop(place, spec())
    started_by_hand(stage, place, binaries)
    assert stage.plan(place, spec(), SECRETS, binaries) == []
    assert setting(place, "listen_addresses") == "127.0.0.1"
    assert setting(place, "unix_socket_directories") == ""
    assert setting(place, "hba_file") == str(place.sub("config") / "pg_hba.conf")


@needs_debian
def test_a_superuser_that_is_none_any_more_becomes_one_again(stage: Stage) -> None:
    """Since version 16 the server itself refuses to take that away."""
    place = up(stage, DEBIAN)
    with connect(place) as connection:
        connection.execute("ALTER ROLE postgres NOSUPERUSER")
    (change,) = stage.apply(place, spec(), SECRETS, DEBIAN)
    assert (change.action, "it is no superuser any more" in change.reason) == ("restart", True)
    assert stage.plan(place, spec(), SECRETS, DEBIAN) == []


def test_the_probe_tells_refused_from_not_there(stage: Stage) -> None:
    from infra.endpoint import Endpoint

    place = up(stage)
    endpoint = Endpoint(place.host, place.port)
    with pytest.raises(CredentialsRefused):
        probe(endpoint, {"superuser_password": "wrong"}, 2.0, superuser="postgres", files={})
    with pytest.raises(CredentialsRefused):
        probe(endpoint, SECRETS, 2.0, superuser="nobody", files={})
    stage.stop(place, spec())
    with pytest.raises(ServerError, match="refused") as caught:
        probe(endpoint, SECRETS, 2.0, superuser="postgres", files={})
    assert not isinstance(caught.value, CredentialsRefused)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_runs_killed_at_any_moment_are_finished_by_the_next(stage: Stage, seed: int) -> None:
    """Five kills one after the other, at random points of what a whole run takes here; fifteen over the seeds."""
    chance = random.Random(seed)  # noqa: S311
    measured = stage.place(spec(), stack="measured")
    started = time.monotonic()
    with stage.apply_in_child(measured, spec(), SECRETS) as child:
        assert child.wait(120) == 0
    whole = time.monotonic() - started
    stage.stop(measured, spec())
    place = stage.place(spec())
    for _ in range(5):
        with stage.apply_in_child(place, spec(), SECRETS) as child:
            time.sleep(chance.random() * whole)
            child.kill()
    stage.apply(place, spec(), SECRETS)
    assert stage.plan(place, spec(), SECRETS) == []
    assert not (place.folder / "data.partial").exists()
    assert not (place.folder / "secrets/superuser-password").exists()
    with connect(place) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif(sys.platform != "linux" or not AS_ROOT, reason="needs root to mount a small file system")
def test_a_full_disk_is_named_and_the_next_run_goes_on() -> None:
    with open_folder() as folder, staged(folder / "small") as stage:
        stage.root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m,mode=0711", "none", str(stage.root)], check=True)
        try:
            place = stage.place(spec())
            stage.programs(spec())
            filler = stage.root / "filler"
            free = shutil.disk_usage(stage.root).free
            filler.write_bytes(b"\0" * (free - 10 * 2**20))
            with pytest.raises(TargetError, match=r"(?i)no space left on device") as caught:
                stage.apply(place, spec(), SECRETS)
            assert "MiB are free" in caught.value.hint
            filler.unlink()
            stage.apply(place, spec(), SECRETS)
            connect(place).close()
        finally:
            stage.end_everything()
            wait_until(lambda: subprocess.run(["umount", str(stage.root)], check=False).returncode == 0)
