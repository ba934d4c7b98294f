"""The dummy server's product side: its spec, and the proof that it is alive."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.endpoint import Endpoint
from infra.errors import ServerError
from infra.targets.processes.system_user import account, refused_folder
from infra.targets.spec import Answer, CredentialsRefused, DataFormat, Packaging, ServerFile, ServerSpec

SECRETS = {"password": "correct-horse-battery"}


def ask(endpoint: Endpoint, password: str, timeout: float = 5.0) -> str:
    with (
        socket.create_connection((endpoint.host, endpoint.port), timeout=timeout) as client,
        client.makefile("rw") as stream,
    ):
        stream.write(password + "\n")
        stream.flush()
        return stream.readline().strip()


def probe(endpoint: Endpoint, secrets: Mapping[str, str], timeout: float, **_: object) -> Answer:
    try:
        answer = ask(endpoint, secrets["password"], timeout)
    except OSError as error:
        raise ServerError("log in to dummy", str(endpoint), str(error)) from None
    if not answer.startswith("OK"):
        raise CredentialsRefused("log in to dummy", str(endpoint), "the password was refused")
    return Answer(answer.split()[1])


def greeting_of(config: str) -> str:
    """What a server that has read this configuration greets with."""
    return next((line.split()[1] for line in config.splitlines() if line.startswith("greeting ")), "")


def password_line(secrets: Mapping[str, str]) -> str:
    """What mending its credentials reads."""
    return secrets["password"]


def spec(
    greeting: str = "hello", *, extra: str = "", restart_key: str = "", port: int = 21000, how: str = "", kept: str = ""
) -> ServerSpec:
    """extra: lines of its configuration. how: `fails` or `slow` of its initialisation.

    kept: its password is in its data, where it can be mended; `fails`: that is refused.
    """
    config = f"# dummy\nhost {{host}}\nport {{port}}\ngreeting {greeting}\n{extra}"
    password = ServerFile("secrets", "password", "{secret:password}\n", restart=True)
    return ServerSpec(
        name="dummy",
        documented_port=port,
        start=("server", "{config}/dummy.conf", "{data}/password" if kept else "{secrets}/password", "{data}"),
        initialize=("server", "--initialize", "{data}", "{secrets}/initial", how),
        probe="tests.support.dummy_product:probe",
        packaging=Packaging(programs={"server": ("dummy-server",)}),
        credentials_command=("server", "--password", "{data}", kept) if kept else (),
        credentials_input="tests.support.dummy_product:password_line",
        files=(
            ServerFile("config", "dummy.conf", config),
            *(() if kept else (password,)),
            ServerFile("secrets", "initial", "{secret:password}", once=True),
        ),
        data_format=DataFormat("VERSION", ("server", "--version"), r"dummy (\d+)"),
        reload_signal="SIGHUP",
        stop_timeout=5.0,
        start_timeout=20.0,
        stale_files=("dummy.pid",),
        restart_key=hashlib.sha256((restart_key + extra).encode()).hexdigest(),
    )


def install(folder: Path, user: str | None) -> Path:
    """The program in a folder that `user` can run it from."""
    folder.mkdir(mode=0o755)
    program = folder / "dummy-server"
    source = Path(__file__).with_name("dummy_server.py").read_text(encoding="utf-8")
    program.write_text(f"#!{interpreter(user)} -I\n{source}", encoding="utf-8")
    program.chmod(0o755)
    return folder


def interpreter(user: str | None) -> str:
    """A Python that the user may run: the tests' own may be below somebody's closed home."""
    candidates = [sys.executable, shutil.which("python3", path=os.defpath + ":/usr/bin:/usr/local/bin")]
    return next(
        path for path in candidates if path and refused_folder(Path(path).resolve().parent, account(user)) is None
    )
