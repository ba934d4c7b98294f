"""Runs one program as another user, detached from the caller. A program of its own: `python -I -S launch.py`.

It stands between the caller and the server because each of these is unsafe or impossible in a threaded caller: dropping
privileges between fork and exec, and recording the server's process before the server runs. Nothing of this package and
nothing outside the standard library is imported, so that it costs milliseconds.

    argv[1]   JSON: {"record": path or null, "fields": {...}, "lock": descriptor or null, "uid": n or null, "gid": n}
    argv[2:]  the program and its arguments

With a record the program becomes a child of init: the record (process id, identity and `fields`) is complete on disk
before the program starts, whatever is killed in between. Without one the program replaces this process. The lock's
descriptor stays open until a recorded program has started, or until an unrecorded one has ended: the next holder of the
lock sees no half-done start.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

ENDING_SECONDS = 5.0


def identity(pid: int) -> str:
    """What tells a process from a later one with its id: boot and start time. Empty when it is gone or a zombie.

    A killed process is a zombie before the last of its threads has ended, and until then its port is taken by no
    process that could be named. This waits for that: milliseconds, 5 s at most.
    """
    give_up = time.monotonic() + ENDING_SECONDS
    try:
        while (fields := _stat(pid))[0] == "Z" and int(fields[17]) > 1 and time.monotonic() < give_up:
            time.sleep(0.001)
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:  # noqa: PTH123
            boot = stream.read().strip()
    except ProcessLookupError:
        return ""
    except FileNotFoundError:
        return "" if os.path.exists("/proc/self/stat") else _identity_by_ps(pid)  # noqa: PTH110
    return "" if fields[0] in "ZX" else f"{boot}/{fields[19]}"


def is_halted(pid: int) -> bool:
    """Whether a signal stopped it (SIGSTOP), by this machine's /proc or `ps`."""
    try:
        return _stat(pid)[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        command = ["ps", "-o", "state=", "-p", str(pid)]
        shown = subprocess.run(command, capture_output=True, text=True, check=False, env={"LC_ALL": "C"})
        return shown.stdout.strip().startswith("T")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat that follow the name, the state first; the 18th is the number of threads."""
    # Not pathlib: importing it would double the launcher's start.
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
        return stream.read().rpartition(")")[2].split()


def _identity_by_ps(pid: int) -> str:
    """The same where there is no /proc (macOS)."""
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "TZ": "UTC"})
    state, _, started = shown.stdout.strip().partition(" ")
    return "" if not state or state.startswith("Z") else started.strip()


def _write_record(path: str, pid: int, fields: dict[str, str]) -> None:
    temporary = f"{path}.partial"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)  # noqa: PTH108
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump({**fields, "pid": pid, "identity": identity(pid)}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)  # noqa: PTH105


def _detach(record: str, fields: dict[str, str]) -> None:
    """Goes on in a child of init, once its record is on disk."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(reader)
        _write_record(record, child, fields)
        os.write(writer, b".")
        os._exit(0)
    os.close(writer)
    os.setsid()
    if not os.read(reader, 1):
        os._exit(1)
    os.close(reader)


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main() -> None:
    """Never returns: ends as the program, or with 127 and a line on stderr."""
    request = json.loads(sys.argv[1])
    if request["record"]:
        _detach(request["record"], request["fields"])
        if request["lock"] is not None:
            os.set_inheritable(request["lock"], False)
    if request["uid"] is not None:
        _become(request["uid"], request["gid"])
    # Python ignores the first two, a shell's background job and nohup the others; what is ignored stays so across exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o077)
    try:
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"cannot run {sys.argv[2]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127)


if __name__ == "__main__":
    main()
