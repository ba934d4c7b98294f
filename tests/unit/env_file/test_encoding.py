"""The env file's text: what is written is what a shell and python-dotenv read."""

from __future__ import annotations

import io
import os
import shutil
import string
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from dotenv import dotenv_values, load_dotenv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.endpoint import Endpoint, Login
from infra.env_file.encoding import HEADER, KEYS, database_url, encode, read_back, readable, redis_url
from infra.errors import PublishError
from tests.unit.env_file.conftest import VALUES

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
SHELLS = [shell for shell in ("dash", "bash", "sh") if shutil.which(shell)]
AWKWARD = [
    "",
    " ",
    " a b ",
    "'",
    '"',
    "\\",
    "a\\",
    "\\\\",
    "\\'",
    '\\"',
    "\\n",
    "$HOME",
    "${HOME}",
    "${HOME:-x}",
    "$(id)",
    "`id`",
    "$",
    "$$",
    "it's `$HOME` \\",
    "'${HOME}'",
    '"${HOME}"',
    "#",
    "a #b",
    "a=b",
    "~",
    ":~root",
    "*",
    "[a]*",
    "!!",
    "a;b&c|d<e>f",
    "{a,b}",
    "export X=1",
    "\\$",
    "\\`",
    "'\\",
    PRINTABLE,
    PRINTABLE[::-1],
    PRINTABLE + "\\",
]


def encoded(value: str) -> str:
    return encode({**VALUES, "SECRET_KEY": value})


PRINT_ENVIRONMENT = "import os, sys; sys.stdout.write(chr(0).join(f'{k}={v}' for k, v in os.environ.items()))"


def read_by_shell(shell: str, path: Path, keys: tuple[str, ...] = KEYS) -> dict[str, str]:
    """The values as a program sees them that a shell starts after sourcing the file."""
    program = 'set -eu; set -a; . "$1"; exec "$2" -c "$3"'
    argv = [shell, "-c", program, shell, str(path), sys.executable, PRINT_ENVIRONMENT]
    run = subprocess.run(argv, env={"HOME": "/nowhere"}, capture_output=True, check=True)
    assert run.stderr == b""
    found = dict(item.split("=", 1) for item in run.stdout.decode().split("\0"))
    return {key: found[key] for key in keys}


@pytest.mark.parametrize("value", AWKWARD)
def test_dotenv_reads_what_was_written(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    text = encoded(value)
    assert dotenv_values(stream=io.StringIO(text))["SECRET_KEY"] == value
    assert read_back(text) == {**VALUES, "SECRET_KEY": value}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("value", AWKWARD)
def test_shell_reads_what_was_written(value: str, shell: str, tmp_path: Path) -> None:
    path = tmp_path / ".env.local"
    path.write_text(encoded(value))
    assert read_by_shell(shell, path) == {**VALUES, "SECRET_KEY": value}


@given(st.lists(st.text(PRINTABLE, max_size=60), min_size=2, max_size=2))
def test_any_two_values_survive_dotenv(values: list[str]) -> None:
    expected = {**VALUES, "SECRET_KEY": values[0], "CIRCLE_SANDBOX_API_KEY": values[1]}
    assert read_back(encode(expected)) == expected


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text("'\"\\$`{}#~! aA0:=-", max_size=12))
def test_any_value_survives_a_shell(tmp_path: Path, value: str) -> None:
    path = tmp_path / ".env.local"
    path.write_text(encoded(value))
    assert read_by_shell("sh", path)["SECRET_KEY"] == value


@pytest.mark.parametrize("value", ["\\", "a\\", "it's \\"])
def test_no_value_ends_in_what_an_older_dotenv_takes_for_an_escaped_quote(value: str) -> None:
    """Before 1.2, python-dotenv read the end of `KEY="a\\\\"` as an escaped quote and went on to the next one."""
    line = next(line for line in encoded(value).splitlines() if line.startswith("SECRET_KEY="))
    assert line.endswith('"')
    assert not line.endswith('\\"')


def test_application_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    path = tmp_path / ".env.local"
    path.write_text(encoded(PRINTABLE))
    before = set(os.environ)
    try:
        load_dotenv(path)
        assert {key: os.environ[key] for key in KEYS} == {**VALUES, "SECRET_KEY": PRINTABLE}
    finally:
        for name in set(os.environ) - before:
            del os.environ[name]


def test_documented_keys_in_documented_order_below_our_header() -> None:
    lines = encode(VALUES, "local").splitlines()
    assert lines[0] == f"{HEADER} for the stack local."
    assert tuple(line.partition("=")[0] for line in lines if line and not line.startswith("#")) == KEYS
    assert tuple(VALUES) == KEYS


@pytest.mark.parametrize("value", ["", "8080", PRINTABLE])
def test_keys_of_the_stacks_own_have_a_section_of_their_own(value: str, tmp_path: Path) -> None:
    text = encode(VALUES, "local", {"ZONE": "a", "MY_KEY": value})
    assert text.index("LOG_LEVEL=") < text.index("# Set by circlepay:application.extra\nMY_KEY=") < text.index("ZONE=")
    assert read_back(text) == {**VALUES, "MY_KEY": value, "ZONE": "a"}
    assert readable(text, ["ZONE"]) == {"ZONE": "a"}
    (tmp_path / ".env").write_text(text)
    assert read_by_shell("sh", tmp_path / ".env", ("MY_KEY",)) == {"MY_KEY": value}


@pytest.mark.parametrize("name", ["DEBUG", "ENV_FILE_DOLLAR", "A B", "9", "A=hunter2"])
def test_names_that_no_key_of_the_stacks_own_has(name: str) -> None:
    with pytest.raises(PublishError, match="cannot be a key of the stack's own"):
        encode(VALUES, "local", {name: "x"})


def test_generated_values_need_no_quotes_so_docker_reads_them_too() -> None:
    """`docker run --env-file` takes each line as it is."""
    lines = [line for line in encode(VALUES).splitlines() if line and not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == VALUES


@pytest.mark.parametrize("user", ["circlepay_user", "we:ird/us@er"])
def test_every_printable_character_survives_the_urls(user: str) -> None:
    login = Login(Endpoint("127.0.0.1", 5432), user, PRINTABLE, "circlepay_db")
    for url, name in ((database_url(login), "circlepay_db"), (redis_url(login), "0")):
        parts = urlsplit(url)
        assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, PRINTABLE)
        assert (parts.hostname, parts.port, parts.path) == ("127.0.0.1", 5432, f"/{name}")
        assert set(url) <= set(string.ascii_letters + string.digits + ":/@%._-")


def test_urls_as_clients_read_them() -> None:
    from psycopg.conninfo import conninfo_to_dict
    from redis.connection import parse_url
    from sqlalchemy.engine import make_url

    login = Login(Endpoint("127.0.0.1", 7000), "circlepay_user", PRINTABLE, "circlepay_db")
    assert conninfo_to_dict(database_url(login))["password"] == PRINTABLE
    assert make_url(database_url(login)).password == PRINTABLE
    assert parse_url(redis_url(Login(Endpoint("127.0.0.1", 7000), "", PRINTABLE)))["password"] == PRINTABLE


def test_ipv6_addresses_stand_in_brackets() -> None:
    login = Login(Endpoint("::1", 5432), "u", "p", "d")
    assert database_url(login) == "postgresql://u:p@[::1]:5432/d"
    assert redis_url(Login(Endpoint("::1", 6379), "", "p")) == "redis://default:p@[::1]:6379/0"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY: is missing"),
        ({"EXTRA": "x"}, "EXTRA: is not one of"),
        ({"SECRET_KEY": "line\nbreak-hunter2"}, "SECRET_KEY: must be printable ASCII"),
        ({"SECRET_KEY": "schlüssel-hunter2"}, "SECRET_KEY: must be printable ASCII"),
        ({"SECRET_KEY": "nul\0hunter2"}, "SECRET_KEY: must be printable ASCII"),
    ],
)
def test_what_cannot_be_written(change: dict[str, str | None], said: str) -> None:
    values = {key: value for key, value in {**VALUES, **change}.items() if value is not None}
    with pytest.raises(PublishError) as caught:
        encode(values)
    assert said in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [("A='open\n", "line 1"), ("A=1\nA=2\n", "A: is defined twice"), ("A=1\nnonsense here\n", "line 2")],
)
def test_text_that_was_tampered_with(text: str, said: str) -> None:
    with pytest.raises(PublishError, match=said):
        read_back(text)
