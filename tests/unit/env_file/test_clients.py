"""The env file as the clients that people use read it: each logs in on real servers with the file as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis
from dotenv import dotenv_values
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from infra.endpoint import Endpoint, Login
from infra.env_file.encoding import database_url, encode, redis_url
from tests.support import live_servers
from tests.unit.env_file.conftest import VALUES
from tests.unit.env_file.test_encoding import PRINTABLE

READ_BACK = "import os; print(os.environ['DATABASE_URL']); print(os.environ['REDIS_URL'])"


@dataclass(frozen=True)
class Published:
    """An env file of servers that run, with passwords of every printable character."""

    path: Path
    database_url: str
    redis_url: str


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    with live_servers.postgres() as postgres, live_servers.cache() as cache:
        live_servers.write_objects(partial(live_servers.connect, postgres), PRINTABLE)
        with redis.Redis(port=cache.port, password=cache.password) as client:
            client.config_set("requirepass", PRINTABLE)
        login = Login(Endpoint("127.0.0.1", postgres.port), "circlepay_user", PRINTABLE, "circlepay_db")
        urls = database_url(login), redis_url(Login(Endpoint("127.0.0.1", cache.port), "", PRINTABLE))
        path = tmp_path_factory.mktemp("published") / ".env.local"
        path.write_text(encode({**VALUES, "DATABASE_URL": urls[0], "REDIS_URL": urls[1]}), encoding="utf-8")
        yield Published(path, *urls)


def in_shell(published: Published, command: str) -> str:
    """What a command prints in a shell that has sourced the file, with nothing else in its environment but PATH."""
    script = f"set -a; . {published.path}; set +a; {command}"
    argv = ["/bin/sh", "-c", script]
    run = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30, env={"PATH": PATH})
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


PATH = "/usr/local/bin:/usr/bin:/bin"


def psycopg_reads(published: Published) -> str:
    with psycopg.connect(str(dotenv_values(published.path)["DATABASE_URL"])) as connection:
        return str(connection.info.user)


def sqlalchemy_reads(published: Published) -> str:
    url = make_url(str(dotenv_values(published.path)["DATABASE_URL"])).set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with engine.connect() as connection:
        user = str(connection.execute(text("SELECT current_user")).scalar())
    engine.dispose()
    return user


def an_ini_file_of_alembic_reads(published: Published) -> str:
    """Its parser takes a percent sign for its own: docs/env-file.md has the `replace`."""
    ini = ConfigParser()
    ini.read_string("[alembic]")
    ini.set("alembic", "sqlalchemy.url", published.database_url.replace("%", "%%"))
    with psycopg.connect(ini.get("alembic", "sqlalchemy.url")) as connection:
        return str(connection.info.user)


def psql_reads(published: Published) -> str:
    needs("psql")
    return in_shell(published, 'psql "$DATABASE_URL" -Atc "SELECT current_user"')


def redis_py_reads(published: Published) -> str:
    with redis.Redis.from_url(str(dotenv_values(published.path)["REDIS_URL"]), decode_responses=True) as client:
        return str(client.acl_whoami())


def redis_cli_reads(published: Published) -> str:
    needs("redis-cli")
    return in_shell(published, 'redis-cli -u "$REDIS_URL" --no-auth-warning ACL WHOAMI')


def needs(program: str) -> None:
    if shutil.which(program, path=PATH) is None:
        pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize(
    ("client", "user"),
    [
        (psycopg_reads, "circlepay_user"),
        (sqlalchemy_reads, "circlepay_user"),
        (an_ini_file_of_alembic_reads, "circlepay_user"),
        (psql_reads, "circlepay_user"),
        (redis_py_reads, "default"),
        (redis_cli_reads, "default"),
    ],
)
def test_a_client_logs_in(client: Callable[[Published], str], user: str, published: Published) -> None:
    assert client(published) == user


def test_what_knows_no_quotes_reads_urls_and_generated_values(published: Published) -> None:
    """`docker run --env-file` and systemd's EnvironmentFile take a line as it stands, even with the oddest password."""
    lines = dict(line.split("=", 1) for line in published.path.read_text().splitlines() if line[:1].isalpha())
    assert (lines["DATABASE_URL"], lines["REDIS_URL"]) == (published.database_url, published.redis_url)


def test_a_child_of_a_shell_has_them(published: Published) -> None:
    """`set -a` is what hands them on: without it they are the shell's own."""
    read = in_shell(published, f'{sys.executable} -c "{READ_BACK}"').splitlines()
    assert read == [published.database_url, published.redis_url]
