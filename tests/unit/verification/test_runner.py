"""The verification on a real stack: green when all is well, and the right checks red for each broken promise."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import testinfra

from infra.cache import wire
from infra.endpoint import Endpoint
from infra.errors import VerificationError
from infra.paths import PROJECT_ROOT
from infra.verification.checks.machine import Address, folders_of, observe
from infra.verification.checks.machine_without_proc import observe_with_psutil
from infra.verification.runner import abandon, prepare, run
from infra.verification.secret_scanner import find_in_text
from infra.verification.subject import Subject
from tests.support.live_servers import debian_postgres
from tests.support.verification_breakage import Breakage, by_sql
from tests.support.verification_breakages import BREAKAGES
from tests.support.verification_runs import Runs
from tests.support.verification_stack import Stack, stack

CHECKS_AT_LEAST = 340
DOCUMENT = PROJECT_ROOT / "docs" / "source-document.ko.md"


@pytest.fixture(scope="module")
def live() -> Iterator[Stack]:
    with stack() as made:
        yield made


def test_a_stack_as_documented_passes(live: Stack) -> None:
    report = run(live.subject)
    assert report.failures == []
    assert report.passed > CHECKS_AT_LEAST


def test_what_changes_no_result_passes(live: Stack, runs: Runs) -> None:
    """What `up` only reports must not fail the verification after it."""
    role, reset = "ALTER ROLE circlepay_user", "ALTER ROLE circlepay_user RESET ALL"
    settings = ("work_mem = '1MB'", "datestyle = 'German'", "exit_on_error = on", "idle_session_timeout = '1ms'")
    live.sql(f"{role} VALID UNTIL 'infinity'", *(f"{role} SET {setting}" for setting in settings))
    try:
        assert runs.run(live.subject).failures == []
    finally:
        live.sql(reset, "UPDATE pg_authid SET rolvaliduntil = NULL WHERE rolname = 'circlepay_user'")


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    made = Runs()
    yield made
    made.close()


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_a_broken_promise_is_seen(live: Stack, runs: Runs, breakage: Breakage) -> None:
    breakage.do(live)
    try:
        report = runs.run(live.subject)
    finally:
        breakage.undo(live)
    assert {failure.check for failure in report.failures} == breakage.fails
    assert all("\nobserved: " in failure.message for failure in report.failures)
    if breakage.structural:
        assert report.blocking == []
        assert len(report.structural) == report.failed


def _set_aside(table: str) -> Breakage:
    """As good as dropped, and what belongs to it with it, but easily brought back."""
    return by_sql(
        f"{table} is lost",
        f"CREATE SCHEMA aside AUTHORIZATION circlepay_owner;;ALTER TABLE {table} SET SCHEMA aside",
        f"ALTER TABLE aside.{table} SET SCHEMA public;;DROP SCHEMA aside",
        f"schema: table {table}",
        structural=True,
    )


LOST = [
    *(_set_aside(table) for table in ("users", "wallets", "transactions", "kyc_documents")),
    by_sql(
        "an indexed column with a default is lost",
        "ALTER TABLE users DROP COLUMN kyc_status",
        "ALTER TABLE users ADD COLUMN kyc_status varchar(20) DEFAULT 'pending';;"
        "CREATE INDEX idx_users_kyc_status ON users (kyc_status)",
        "schema: column users.kyc_status",
        structural=True,
    ),
]


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: lost.name)
def test_what_is_lost_is_one_failure_and_only_structural(live: Stack, runs: Runs, lost: Breakage) -> None:
    whole = runs.run(live.subject).passed
    lost.do(live)
    try:
        report = runs.run(live.subject)
    finally:
        lost.undo(live)
    assert {failure.check for failure in report.failures} == lost.fails
    assert report.blocking == []
    assert 0.5 * whole < report.passed < whole
    assert "make up" not in report.structural[0].message


def test_everything_broken_was_put_right_and_what_is_tried_is_no_error_in_the_log(live: Stack) -> None:
    log = live.folder / "postgres" / "logs" / "start.log"
    before = log.stat().st_size
    assert run(live.subject).failures == []
    assert b"ERROR:" not in log.read_bytes()[before:]


def test_the_servers_of_debian() -> None:
    cache = shutil.which("redis-server")
    if cache is None:
        pytest.skip("no Redis of Debian is installed")
    with stack(debian_postgres(), Path(cache)) as made:
        assert run(made.subject).failures == []


def test_a_database_built_by_hand_from_the_document() -> None:
    """What the document's own statements make: all that is wrong with it is what it is known for."""
    with stack(schema=document_statements("### 2.", "### 4.")) as made:
        failed = {failure.check for failure in run(made.subject).failures}
    narrow = next(breakage for breakage in BREAKAGES if breakage.name == "the currency has its documented width")
    assert failed == {*narrow.fails, "schema: migrations recorded"}


def document_statements(start: str, end: str) -> str:
    """The SQL blocks of the document between two headings."""
    text = DOCUMENT.read_text(encoding="utf-8")
    part = text[text.index(start) : text.index(end)]
    return "\n".join(re.findall(r"```sql\n(.*?)```", part, re.DOTALL))


def test_names_of_breakages_are_unique() -> None:
    assert len({breakage.name for breakage in BREAKAGES}) == len(BREAKAGES) > 60


def test_nothing_is_left_behind(live: Stack) -> None:
    queries = (
        "SELECT last_value, is_called FROM users_id_seq",
        "SELECT count(*) FROM users",
        "SELECT count(*) FROM pg_class",
        "SELECT count(*) FROM pg_roles",
        "SELECT count(*) FROM pg_database",
    )

    def observed() -> list[object]:
        place, login = Endpoint("127.0.0.1", live.subject.redis.port), ("AUTH", live.subject.redis.password)
        with live.connect() as connection:
            keys = wire.answer(place, login, ("DBSIZE",), timeout=5)
            return [connection.execute(query).fetchall() for query in queries] + [keys]

    before = observed()
    run(live.subject)
    assert observed() == before


def test_two_runs_at_once(live: Stack) -> None:
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(run(live.subject))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [report.failures for report in reports] == [[], []]


def test_dropped_redundant_indexes(live: Stack, runs: Runs) -> None:
    declared = dataclasses.replace(
        live.subject, postgres=dataclasses.replace(live.subject.postgres, redundant_indexes_dropped=True)
    )
    report = runs.run(declared)
    assert len(report.failures) == 9
    assert {failure.check.rpartition(" ")[0] for failure in report.failures} == {"schema: index"}


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"locale": "en_US.UTF-8"}, "database: locale"),
        ({"tablespace": "fast"}, "database: tablespace"),
        ({"public_restricted": True}, "privileges: public on the database"),
        ({"parameters": {"shared_buffers": "64MB"}}, "server settings: declared shared_buffers"),
    ],
)
def test_another_declaration(live: Stack, runs: Runs, change: dict[str, Any], check: str) -> None:
    declared = dataclasses.replace(live.subject, postgres=dataclasses.replace(live.subject.postgres, **change))
    assert [failure.check for failure in runs.run(declared).failures] == [check]


def test_a_restricted_application(live: Stack, runs: Runs) -> None:
    """Declared so and not so yet: every privilege that is still there fails, and nothing else."""
    declared = dataclasses.replace(live.subject.postgres, application_restricted=True)
    failed = {failure.check for failure in runs.run(dataclasses.replace(live.subject, postgres=declared)).failures}
    tables = ("users", "wallets", "transactions", "kyc_documents")
    withheld = {f"privileges: table privilege {table}-{name}" for table in tables for name in ("TRUNCATE", "TRIGGER")}
    assert failed - withheld == {
        "privileges: future tables",
        *(f"privileges: may maintain {table}" for table in tables),
    }
    assert failed >= withheld


def test_a_server_that_is_down(live: Stack) -> None:
    live.stop("redis")
    try:
        report = run(live.subject)
    finally:
        live.start("redis")
    failed = {failure.check for failure in report.failures}
    assert {"redis: port", "authentication: redis accepts the password", "processes: program redis"} <= failed
    assert "schema: index idx_users_email" not in failed
    assert "behaviour: updated at users" not in failed


def test_a_wrong_password_is_a_failure_without_it(live: Stack) -> None:
    wrong = "s3cret-that-is-not-the-one"
    declared = dataclasses.replace(
        live.subject, postgres=dataclasses.replace(live.subject.postgres, application_password=wrong)
    )
    report = run(declared)
    assert "authentication: postgres authenticates by scram application" in {
        failure.check for failure in report.failures
    }
    assert wrong not in json.dumps(report.as_dict())


@pytest.fixture
def with_env_file(live: Stack, tmp_path: Path) -> tuple[Subject, Path]:
    from urllib.parse import quote

    path, server, redis = tmp_path / ".env.local", live.subject.postgres, live.subject.redis
    password = quote(server.application_password, safe="")
    values = {
        "DATABASE_URL": f"postgresql://circlepay_user:{password}@{server.host}:{server.port}/circlepay_db",
        "REDIS_URL": f"redis://default:{quote(redis.password, safe='')}@{redis.host}:{redis.port}",
        "SECRET_KEY": "a" * 32,
        "JWT_SECRET_KEY": "b" * 32,
        "CIRCLE_SANDBOX_API_KEY": "",
        "CIRCLE_ENTITY_SECRET": "",
        "ENVIRONMENT": "development",
        "DEBUG": "true",
        "LOG_LEVEL": "DEBUG",
    }
    path.touch(0o600)
    path.write_text("".join(f"{key}='{value}'\n" for key, value in values.items()), encoding="utf-8")
    return dataclasses.replace(live.subject, env_file=str(path)), path


def test_an_env_file_as_published_passes(with_env_file: tuple[Subject, Path], live: Stack, runs: Runs) -> None:
    report = runs.run(with_env_file[0])
    assert report.failures == []
    assert report.passed > runs.run(live.subject).passed


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        ("circlepay_user:", "circlepay_user:x", "env file: database url connects"),
        ("redis://default:", "redis://default:x", "env file: redis url connects"),
        ("JWT_SECRET_KEY", "JWT_KEY", "env file: key JWT_SECRET_KEY"),
        (f"SECRET_KEY='{'a' * 32}'", "SECRET_KEY=''", "env file: key SECRET_KEY"),
        ("ENVIRONMENT='development'", "ENVIRONMENT='local'", "env file: environment"),
    ],
)
def test_a_broken_env_file_is_seen(
    with_env_file: tuple[Subject, Path], runs: Runs, old: str, new: str, check: str
) -> None:
    subject, path = with_env_file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    assert [failure.check for failure in runs.run(subject).failures] == [check]


def test_an_open_env_file_is_seen(with_env_file: tuple[Subject, Path], runs: Runs) -> None:
    subject, path = with_env_file
    path.chmod(0o640)
    assert [failure.check for failure in runs.run(subject).failures] == ["env file: mode"]


def test_junit(live: Stack, tmp_path: Path) -> None:
    path = tmp_path / "reports" / "verification.xml"
    # A check that fails shows what it observed: here a setting that is a password.
    live.sql(f"ALTER ROLE circlepay_user SET search_path = '{live.subject.redis.password}', public")
    try:
        report = run(live.subject, junit=path)
    finally:
        live.sql("ALTER ROLE circlepay_user RESET search_path")
    text = path.read_text(encoding="utf-8")
    suite = next(ElementTree.fromstring(text).iter("testsuite"))  # noqa: S314
    counts = {name: int(suite.attrib[name]) for name in ("tests", "skipped", "failures")}
    assert (counts["tests"] - counts["skipped"], counts["failures"]) == (len(report.checks), 1)
    assert "[secret]" in text
    assert find_in_text(text + json.dumps(report.as_dict()), live.subject.secrets()) == []


def test_the_same_without_proc(live: Stack) -> None:
    """Where there is no /proc psutil sees what the script sees."""
    pids = {"redis": live.servers["redis"].pid}
    folders = {"redis": folders_of(live.subject.redis)}
    by_script = observe(testinfra.get_host("local://"), pids, live.subject)
    by_psutil = observe_with_psutil(pids, folders)
    by_script.processes["redis"].sockets = None
    assert by_psutil.processes == by_script.processes
    assert by_psutil.processes["redis"].listening == {Address("127.0.0.1", live.subject.redis.port)}
    assert {path: (entry.mode, entry.owner) for path, entry in by_psutil.entries.items()} == {
        path: (entry.mode, entry.owner) for path, entry in by_script.entries.items()
    }


def test_cancelled_at_once(live: Stack) -> None:
    cancelled = threading.Event()
    cancelled.set()
    before = set(psutil.Process().children())
    with pytest.raises(VerificationError, match="cancelled"):
        run(live.subject, cancelled=cancelled)
    assert set(psutil.Process().children()) <= before


def test_a_prepared_suite(live: Stack) -> None:
    child = prepare()
    report = run(live.subject, suite=child)
    assert report.failures == []
    assert child.poll() is not None


def test_an_abandoned_suite_ends() -> None:
    child = prepare()
    abandon(child)
    assert child.poll() is not None


def test_a_suite_that_dies_is_an_error(live: Stack) -> None:
    child = prepare()
    child.kill()
    with pytest.raises(VerificationError, match="without a report"):
        run(live.subject, suite=child)


def test_the_child_keeps_credentials_out_of_argv_and_environment(live: Stack) -> None:
    child = prepare()
    process = psutil.Process(child.pid)
    shown = " ".join([*process.cmdline(), *process.environ().values()])
    run(live.subject, suite=child)
    assert [name for name, secret in live.subject.secrets().items() if secret in shown] == []
