"""A leak planted in each place, in each encoding, is caught; and nothing is caught where there is none."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.verification import secret_scanner
from infra.verification.secret_scanner import EVERY_SECRET, Leak, ProcessSampler, find_in_files, find_in_text

NAME = "redis password"
SECRET = 'p4ss/w0rd+&<"quoted"> %\'\\end'
SECRETS = {NAME: SECRET, "other": "another-secret-altogether"}

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded, slashes kept": quote,
    "percent-encoded in lower case": lambda text: re.sub("%..", lambda match: match[0].lower(), quote(text, safe="")),
    "percent-encoded, some of it": lambda text: text.replace("%", "%25").replace("/", "%2F"),
    "JSON": json.dumps,
    "JSON as Go writes it": lambda text: json.dumps(text).replace("&", "\\u0026").replace("<", "\\u003c"),
    "JSON inside JSON": lambda text: json.dumps(json.dumps({"inner": text})),
    "JSON of a URL": lambda text: json.dumps(f'redis://:{quote(text, safe="")}@127.0.0.1/0?"x"'),
    "XML": escape,
    "XML attribute": quoteattr,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after one byte": lambda text: base64.b64encode(b":" + text.encode() + b"tail").decode(),
    "base64 after two bytes": lambda text: base64.b64encode(b"ab" + text.encode() + b"x").decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"user:" + text.encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(b"-" * 50 + text.encode()).decode(),
    "base64 of a URL": lambda text: base64.b64encode(f"redis://:{quote(text, safe='')}@h".encode()).decode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text(encoding: str) -> None:
    leaks = find_in_text(f"before {ENCODINGS[encoding](SECRET)} after", SECRETS, "the log")
    assert {(leak.secret, leak.place) for leak in leaks} == {(NAME, "the log")}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_file(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / ".hidden" / "state.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0\xff binary \n" + ENCODINGS[encoding](SECRET).encode())
    assert {(leak.secret, leak.place) for leak in find_in_files([tmp_path], SECRETS)} == {(NAME, str(path))}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("place", ["argv", "environ"])
def test_process(place: str, encoding: str) -> None:
    text = ENCODINGS[encoding](SECRET)
    argv = [sys.executable, "-c", "import time; time.sleep(20)"]
    with ProcessSampler(SECRETS, interval=0.005) as sampler:
        child = subprocess.Popen(
            [*argv, text] if place == "argv" else argv,
            env={"SETTING": text} if place == "environ" else {},
            stdin=subprocess.DEVNULL,
        )
        _wait(lambda: bool(sampler.leaks))
        child.kill()
        child.wait(10)
    assert {(leak.secret, leak.place.rpartition(" (")[0]) for leak in sampler.leaks} == {
        (NAME, f"{place} of {child.pid}")
    }


def test_a_process_that_lives_a_tenth_of_a_second() -> None:
    with ProcessSampler(SECRETS) as sampler:
        subprocess.run(["sh", "-c", "sleep 0.15", SECRET], check=True)
    assert [leak.secret for leak in sampler.leaks] == [NAME, NAME][: len(sampler.leaks)]
    assert sampler.leaks


def test_file_name(tmp_path: Path) -> None:
    (tmp_path / quote(SECRET, safe="")).touch()
    assert [leak.shape for leak in find_in_files([tmp_path], SECRETS)] == ["percent-encoded"]


def test_a_root_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(f"<failure>{escape(SECRET)}</failure>")
    assert find_in_files([path], SECRETS) == [Leak(NAME, "XML-escaped", str(path))]


def test_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_scanner, "CHUNK", 1000)
    monkeypatch.setattr(secret_scanner, "OVERLAP", 500)
    for start in (0, 985, 1000, 1990):
        (tmp_path / "big.log").write_bytes(b"." * start + SECRET.encode() + b"." * 2000)
        assert [leak.secret for leak in find_in_files([tmp_path], SECRETS)] == [NAME], start


def test_allowed_files(tmp_path: Path) -> None:
    env_file, own = tmp_path / ".env.local", tmp_path / "redis-password.conf"
    for path in (env_file, own):
        path.write_text(f"{SECRET}\n{SECRETS['other']}\n")
    leaks = find_in_files([tmp_path], SECRETS, {env_file: EVERY_SECRET, own: {NAME}})
    assert leaks == [Leak("other", "plain", str(own))]


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.write_text(SECRET)
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    os.mkfifo(inside / "pipe")
    assert find_in_files([inside], SECRETS) == []


def test_what_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root can read everything, so the refusal is the file system's own for a folder that looks like a file.
    (tmp_path / "file").mkdir()
    monkeypatch.setattr(secret_scanner, "_is_regular", lambda path: True)
    monkeypatch.setattr(os, "walk", lambda *_, **__: [(str(tmp_path), [], ["file"])])
    with pytest.raises(IsADirectoryError):
        find_in_files([tmp_path], SECRETS)


def test_nothing_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("%41 \\u0041 &amp; " + base64.b64encode(os.urandom(3000)).decode())
    with ProcessSampler({NAME: SECRET}) as sampler:
        time.sleep(0.1)
    assert (find_in_files([tmp_path], SECRETS), sampler.leaks) == ([], [])
    assert sampler.looks > 1


def test_the_sampler_is_bounded() -> None:
    with ProcessSampler(SECRETS, interval=0.001, limit=0.05) as sampler:
        time.sleep(0.5)
        before = sampler.looks
        time.sleep(0.1)
        assert sampler.looks == before


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ValueError, match="too short to be searched for: pin"):
        find_in_text("", {"pin": "1234567"})


def test_leaks_do_not_show_the_secret() -> None:
    assert SECRET not in repr(find_in_text(SECRET, SECRETS))


@settings(database=None, deadline=None)
@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=70),
    before=st.binary(max_size=9),
    after=st.binary(max_size=9),
)
def test_base64_wherever_it_starts(secret: str, before: bytes, after: bytes) -> None:
    blob = base64.b64encode(before + secret.encode() + after)
    assert "base64" in {leak.shape for leak in find_in_text(blob, {NAME: secret})}


@settings(database=None, deadline=None)
@given(secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=70))
def test_any_printable_secret(secret: str) -> None:
    for encode in (str, quote, quote_plus, json.dumps, lambda text: json.dumps(json.dumps(text)), escape):
        assert find_in_text(f"<{encode(secret)}>", {NAME: secret}) != []


def _wait(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
