"""A third server, to show that the target runs anything: a TCP server with a password, in one file of plain Python.

    dummy_server.py CONFIG SECRET DATA

CONFIG holds `port N`, `greeting TEXT` and, to misbehave, `crash` or `stubborn`. A client sends the password as a line,
and gets `OK <version> <greeting> <starts>` or `NO`. SIGHUP reads the greeting again.
"""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import sys
import threading
import time

VERSION = "3.2"


def read_config(path: str) -> dict[str, str]:
    lines = pathlib.Path(path).read_text().splitlines()
    return dict([*line.split(" ", 1), ""][:2] for line in lines if line and not line.startswith("#"))


def serve(config_path: str, secret_path: str, data: str) -> None:
    config = read_config(config_path)
    if "crash" in config:
        print("fatal: told to crash, password", pathlib.Path(secret_path).read_text().strip(), flush=True)
        sys.exit(3)
    if "stubborn" in config:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, lambda *_: config.update(read_config(config_path)))
    busy = pathlib.Path(data, "busy-until")
    if busy.exists() and time.time() < float(busy.read_text()):
        sys.exit("fatal: my data is still in use")
    password = pathlib.Path(secret_path).read_text().strip()
    starts = pathlib.Path(data, "starts")
    starts.write_text(f"{int(starts.read_text()) + 1 if starts.exists() else 1}")
    pathlib.Path(data, "dummy.pid").write_text(f"{os.getpid()}\n")
    with socket.create_server((config["host"], int(config["port"]))) as server:
        while True:
            client = server.accept()[0]
            threading.Thread(target=answer, args=(client, password, config, starts.read_text()), daemon=True).start()


def answer(client: socket.socket, password: str, config: dict[str, str], starts: str) -> None:
    with client, client.makefile("rw") as stream:
        granted = stream.readline().strip() == password
        stream.write(f"OK {VERSION} {config['greeting']} {starts}\n" if granted else "NO\n")


def initialize(data: str, initial: str = "", how: str = "") -> None:
    password = pathlib.Path(initial).read_text() if initial else ""
    pathlib.Path(data, "session").write_text(f"{os.getsid(0)}")
    if how == "fails":
        sys.exit(f"fatal: password {password}")
    if how == "slow":
        time.sleep(2)
    pathlib.Path(data, "password").write_text(password)
    pathlib.Path(data, "VERSION").write_text("3\n")


def set_password(data: str, how: str) -> None:
    password = sys.stdin.read()
    if how == "fails":
        sys.exit(f"fatal: password {password}")
    pathlib.Path(data, "password").write_text(password)


if __name__ == "__main__":
    if sys.argv[1] == "--version":
        print(f"dummy {VERSION}")
    elif sys.argv[1] == "--initialize":
        initialize(*sys.argv[2:])
    elif sys.argv[1] == "--password":
        set_password(*sys.argv[2:])
    else:
        serve(*sys.argv[1:4])
