"""A private image registry for a test: Debian's docker-registry on loopback, which asks everybody for a login.

The engine speaks plain HTTP with registries on loopback, so no certificate has to be made; it must be an engine of this
machine.
"""

from __future__ import annotations

import base64
import ctypes
import http.client
import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.live_servers import ServerProgram, free_port, running

if TYPE_CHECKING:
    from docker import APIClient

PROGRAM = "docker-registry"


@dataclass(frozen=True)
class Registry:
    """A registry that answers. address: HOST:PORT, as references and logins name it."""

    address: str
    username: str = "keeper"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)

    @property
    def login(self) -> dict[str, str]:
        """What the engine's API takes as `auth_config`."""
        return {"username": self.username, "password": self.password}


@dataclass(frozen=True)
class Pushed:
    """An image in a registry. reference: by tag. digest: of the manifest that was pushed, `sha256:...`."""

    reference: str
    digest: str

    @property
    def pinned(self) -> str:
        """The reference by digest."""
        return f"{self.reference.rpartition(':')[0]}@{self.digest}"


@contextmanager
def registry() -> Iterator[Registry]:
    """A registry of this test alone, on a free port; what was pushed goes with it. Skips where the program is absent."""
    program = shutil.which(PROGRAM)
    if program is None:
        pytest.skip(f"needs {PROGRAM}: as root, tools/prepare-ci-machine.sh")
    made = Registry(f"127.0.0.1:{free_port()}")
    with tempfile.TemporaryDirectory(prefix="circlepay-test-registry-") as name:
        folder = Path(name)
        argv = [program, "serve", _configured(folder, made)]
        with running(ServerProgram(argv, folder / "registry.log", partial(_ask, made), prefix=())):
            assert _status(made, {}) == http.HTTPStatus.UNAUTHORIZED, f"{PROGRAM} asks for no login"
            yield made


@contextmanager
def pushed(api: APIClient, local: str, to: Registry, name: str) -> Iterator[Pushed]:
    """A local image as NAME:TAG of a registry; the engine's own name for it there is taken away again.

    name: such as `team/redis:7`. AssertionError when the registry does not take it.
    """
    reference = f"{to.address}/{name}"
    repository, _, tag = reference.rpartition(":")
    assert api.tag(local, repository, tag)
    try:
        yield Pushed(reference, push(api, repository, tag, to.login))
    finally:
        remove(api, reference)


def push(api: APIClient, repository: str, tag: str, login: Mapping[str, str]) -> str:
    """Push what the engine has under that name; the manifest's digest. AssertionError with the registry's refusal."""
    lines = list(api.push(repository, tag, auth_config=dict(login), stream=True, decode=True))
    digests = [line["aux"]["Digest"] for line in lines if "aux" in line]
    assert digests, f"{repository}:{tag} was not pushed: {[line['error'] for line in lines if 'error' in line]}"
    return str(digests[0])


def remove(api: APIClient, reference: str) -> None:
    """Take a name away from the engine, and the image with its last one; nothing where it is gone."""
    from docker.errors import ImageNotFound

    with suppress(ImageNotFound):
        api.remove_image(reference)


def _configured(folder: Path, made: Registry) -> Path:
    """The registry's configuration, JSON being YAML, and the file of its one login."""
    logins = folder / "htpasswd"
    logins.touch(0o600)
    logins.write_text(f"{made.username}:{_bcrypt(made.password)}\n")
    configuration = folder / "config.yml"
    configuration.write_text(
        json.dumps(
            {
                "version": 0.1,
                "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
                "http": {"addr": made.address, "secret": secrets.token_urlsafe(18)},
                "auth": {"htpasswd": {"realm": "circlepay-test", "path": str(logins)}},
            }
        )
    )
    return configuration


def _bcrypt(password: str) -> str:
    """The only hash that the registry takes. By the system's crypt(3): Python's module of it is gone from 3.13."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    crypt.restype = ctypes.c_char_p
    # The cheapest cost: the password is random and gone in a minute.
    hashed = crypt(password.encode(), f"$2b$04${secrets.token_hex(11)}".encode())
    assert hashed is not None
    assert hashed.startswith(b"$2b$"), "this machine's crypt(3) knows no bcrypt"
    return str(hashed.decode())


def _ask(made: Registry) -> None:
    """With its own login, which no other registry on that port would take. Raises ConnectionError where it is not taken."""
    if _status(made, made.login) != http.HTTPStatus.OK:
        raise ConnectionError(f"{PROGRAM} takes no login")


def _status(made: Registry, login: Mapping[str, str]) -> int | None:
    """What it answers to somebody with a login or without; None while nobody listens."""
    headers = {}
    if login:
        pair = base64.b64encode(f"{login['username']}:{login['password']}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    connection = http.client.HTTPConnection(made.address, timeout=5)
    try:
        connection.request("GET", "/v2/", headers=headers)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()
